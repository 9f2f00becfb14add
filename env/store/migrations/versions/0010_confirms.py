"""Which test a session runs again at another seed."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("sessions", sa.Column("confirms", sa.String(64)))
    op.create_index("sessions_by_confirmed", "sessions", ["confirms"])
    if op.get_bind().dialect.name == "postgresql":
        op.execute('ALTER TABLE sessions ALTER COLUMN confirms TYPE varchar(64) COLLATE "C"')
