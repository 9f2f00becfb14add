"""How long the service has served, since when sessions are silent by that measure, and the order of all tests."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table("served", sa.Column("id", sa.Integer, primary_key=True), sa.Column("seconds", sa.Float(53)))
    op.create_table(
        "silences",
        sa.Column("session_id", sa.String(32), sa.ForeignKey("sessions.id"), primary_key=True),
        sa.Column("steps", sa.Integer, nullable=False),
        sa.Column("tests", sa.Integer, nullable=False),
        sa.Column("since", sa.Float(53), nullable=False),
    )
    op.add_column("tests", sa.Column("number", sa.Integer))
    op.execute(
        "UPDATE tests SET number = ranked.number FROM (SELECT session_id, n, row_number() OVER "
        "(ORDER BY created_at, n, session_id) AS number FROM tests) AS ranked "
        "WHERE ranked.session_id = tests.session_id AND ranked.n = tests.n"
    )
    op.create_index("tests_by_number", "tests", ["number"])
    if op.get_bind().dialect.name == "postgresql":
        op.execute('ALTER TABLE silences ALTER COLUMN session_id TYPE varchar(32) COLLATE "C"')
