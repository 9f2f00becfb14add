"""What each test used of its session's GPU hours."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("tests", sa.Column("gpu_s", sa.Float(53)))
