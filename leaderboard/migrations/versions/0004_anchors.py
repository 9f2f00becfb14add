"""The anchors that each task version's results are scored against."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "anchors",
        sa.Column("task_version", sa.String, primary_key=True),
        sa.Column("scale", sa.String, primary_key=True),
        sa.Column("definition", sa.Text, nullable=False),
    )
