"""Results, their values and columns, and submissions."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "results",
        sa.Column("run_key", sa.String, primary_key=True),
        sa.Column("task_id", sa.String, nullable=False),
        sa.Column("agent", sa.String, nullable=False),
        sa.Column("session_id", sa.String, nullable=False),
        sa.Column("test", sa.Integer, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("scale", sa.String, nullable=False),
        sa.Column("seed", sa.BigInteger),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("task_version", sa.String, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
    )
    op.create_index("results_by_scale", "results", ["task_id", "scale", "status"])
    op.create_index("results_by_status", "results", ["task_id", "status"])
    op.create_index("results_by_agent", "results", ["task_id", "agent"])
    op.create_table(
        "result_values",
        sa.Column("run_key", sa.String, sa.ForeignKey("results.run_key"), primary_key=True),
        sa.Column("kind", sa.String, primary_key=True),
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("value", sa.Double),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "result_columns",
        sa.Column("task_id", sa.String, primary_key=True),
        sa.Column("scale", sa.String, primary_key=True),
        sa.Column("kind", sa.String, primary_key=True),
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
    )
    op.create_table(
        "submissions",
        sa.Column("session_id", sa.String, primary_key=True),
        sa.Column("run_key", sa.String, sa.ForeignKey("results.run_key"), nullable=False, unique=True),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=False),
    )
