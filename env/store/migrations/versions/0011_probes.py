"""What ran a test, and the probes among the tests, which are few."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("tests", sa.Column("runner", sa.String(32)))
    is_probe = sa.text("n < 0")
    op.create_index("probes", "tests", ["session_id"], sqlite_where=is_probe, postgresql_where=is_probe)
    if op.get_bind().dialect.name == "postgresql":
        op.execute('ALTER TABLE tests ALTER COLUMN runner TYPE varchar(32) COLLATE "C"')
