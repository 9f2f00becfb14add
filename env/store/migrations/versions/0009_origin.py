"""What tests run with: the runner, and the digests of the data. Of tests that were over, what their results say."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    connection = op.get_bind()
    text = sa.String(64, collation="C") if connection.dialect.name == "postgresql" else sa.String(64)
    op.add_column("tests", sa.Column("runner", text))
    op.add_column("tests", sa.Column("data", sa.Text(collation=text.collation)))
    tables = sa.inspect(connection)
    # The leaderboard's own history, which is another one, has been brought up to date before.
    if tables.has_table("results") and "runner" in {column["name"] for column in tables.get_columns("results")}:
        op.execute(
            "UPDATE tests SET runner = (SELECT results.runner FROM results "
            "WHERE results.run_key = tests.session_id || '-' || tests.n)"
        )
