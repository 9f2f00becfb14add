"""Processor time of runs, and whether there was an exam for them."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("runs", sa.Column("cpu_s", sa.Float))
    op.add_column("runs", sa.Column("no_exam", sa.Text))
