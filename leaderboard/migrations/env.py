"""Run by Alembic for every `leaderboard.migrate.upgrade`, on the connection and the transaction given there."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"], version_table=context.config.attributes["version_table"]
)
context.run_migrations()
