"""Sessions, steps, tests, runs and answers."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "task_versions",
        sa.Column("version", sa.String(64), primary_key=True),
        sa.Column("task_id", sa.String(64), nullable=False),
        sa.Column("definition", sa.Text, nullable=False),
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("task_version", sa.String(64), sa.ForeignKey("task_versions.version"), nullable=False),
        sa.Column("agent", sa.String(200), nullable=False),
        sa.Column("scale", sa.String(64)),
        sa.Column("metadata", sa.Text, nullable=False),
        sa.Column("token_sha256", sa.String(64), nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("submitted_test", sa.Integer),
        sa.Column("submitted_at", sa.String(32)),
    )
    op.create_table(
        "steps",
        sa.Column("session_id", sa.String(32), sa.ForeignKey("sessions.id"), primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("tool", sa.String(32), nullable=False),
        sa.Column("input", sa.Text, nullable=False),
        sa.Column("ok", sa.Boolean, nullable=False),
        sa.Column("code", sa.String(64)),
        sa.Column("observation", sa.Text, nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("test", sa.Integer),
        sa.Column("editables", sa.Text),
        sa.Column("undone", sa.Integer, nullable=False),
    )
    op.create_table(
        "tests",
        sa.Column("session_id", sa.String(32), sa.ForeignKey("sessions.id"), primary_key=True),
        sa.Column("n", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("files", sa.Text, nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("started_at", sa.String(32)),
        sa.Column("ended_at", sa.String(32)),
        sa.Column("cancel_requested", sa.Boolean, nullable=False),
        sa.Column("refunded", sa.Boolean, nullable=False),
        sa.Column("observation", sa.Text),
    )
    op.create_index("tests_by_status", "tests", ["status", "created_at"])
    op.create_table(
        "runs",
        sa.Column("run_id", sa.String(100), primary_key=True),
        sa.Column("session_id", sa.String(32), nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("label", sa.String(64), nullable=False),
        sa.Column("script", sa.String(200), nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("started_at", sa.Float),
        sa.Column("ended_at", sa.Float),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("output", sa.Text, nullable=False),
        sa.Column("series", sa.Text, nullable=False),
        sa.Column("metrics", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["session_id", "n"], ["tests.session_id", "tests.n"]),
    )
    op.create_index("runs_by_test", "runs", ["session_id", "n", "position"])
    op.create_table(
        "answers",
        sa.Column("scope", sa.String(100), primary_key=True),
        sa.Column("key", sa.String(200), primary_key=True),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
