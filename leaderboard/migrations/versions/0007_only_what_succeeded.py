"""Scores of results that did not succeed, which are none."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    results = sa.table("results", sa.column("run_key"), sa.column("status"))
    values = sa.table("result_values", sa.column("run_key"), sa.column("kind"))
    unsuccessful = sa.select(results.c.run_key).where(results.c.status != "succeeded")
    op.execute(sa.delete(values).where(values.c.kind == "score", values.c.run_key.in_(unsuccessful)))
