"""Anchors hold for one data: those from before named none, and what they scored keeps its score."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    # A primary key cannot be widened in place on SQLite.
    op.rename_table("anchors", "anchors_of_any_data")
    text = sa.Text(collation="C") if op.get_bind().dialect.name == "postgresql" else sa.Text()
    name = sa.String(collation="C") if op.get_bind().dialect.name == "postgresql" else sa.String()
    made = op.create_table(
        "anchors",
        sa.Column("task_version", name, nullable=False),
        sa.Column("scale", name, nullable=False),
        sa.Column("data", name, nullable=False),
        sa.Column("definition", text, nullable=False),
        sa.PrimaryKeyConstraint("task_version", "scale", "data", name="anchors_by_data"),
    )
    old = sa.table("anchors_of_any_data", sa.column("task_version"), sa.column("scale"), sa.column("definition"))
    op.execute(
        made.insert().from_select(
            ["task_version", "scale", "data", "definition"],
            sa.select(old.c.task_version, old.c.scale, sa.literal(""), old.c.definition),
        )
    )
    op.drop_table("anchors_of_any_data")
