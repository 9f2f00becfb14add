"""The loss that an exam on unseen text gave, and its standard error."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    for name in ("certified", "certified_error"):
        op.add_column("results", sa.Column(name, sa.Double))
