"""A session's own seed, and how it was ended where that was not its agent's doing."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("sessions", sa.Column("seed", sa.BigInteger))
    op.add_column("sessions", sa.Column("closed_at", sa.String(32)))
    op.add_column("sessions", sa.Column("closed_reason", sa.Text))
