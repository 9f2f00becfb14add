"""Which result a row confirms: the same code at another seed; and the unedited files' rows by index."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("results", sa.Column("confirms", sa.String))
    op.create_index("results_unedited", "results", ["board", "template_unmodified"])
    op.create_index("results_that_confirm", "results", ["confirms", "board"])
    if op.get_bind().dialect.name == "postgresql":
        op.execute('ALTER TABLE results ALTER COLUMN confirms TYPE varchar COLLATE "C"')
