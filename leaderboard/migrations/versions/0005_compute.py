"""The compute of results, as a multiple of the unedited script's."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("results", sa.Column("compute", sa.Double))
