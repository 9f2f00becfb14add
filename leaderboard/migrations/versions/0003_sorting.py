"""Indexes for what pages sort by and count, so that they read the rows they show and not every row there is."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_index("results_by_session", "results", ["task_id", "scale", "session_id"])
    op.create_index("results_by_time", "results", ["task_id", "scale", "finished_at"])
    op.create_index("result_values_by_value", "result_values", ["kind", "name", "value"])
