"""The probes among the tests, which are few."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    is_probe = sa.text("n < 0")
    op.create_index("probes", "tests", ["session_id"], sqlite_where=is_probe, postgresql_where=is_probe)
