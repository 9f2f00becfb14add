"""Labels of results: same code, unmodified template, parameters. What is long of a result gets a table of its own."""

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "result_texts",
        sa.Column("run_key", sa.String, sa.ForeignKey("results.run_key"), primary_key=True),
        sa.Column("record", sa.Text, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
    )
    op.execute("INSERT INTO result_texts (run_key, record, code) SELECT run_key, record, code FROM results")
    op.drop_column("results", "record")
    op.drop_column("results", "code")
    op.add_column("results", sa.Column("code_sha256", sa.String, nullable=False, server_default=""))
    op.add_column("results", sa.Column("template_unmodified", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("results", sa.Column("parameters", sa.BigInteger))
    op.add_column("results", sa.Column("duplicate_of", sa.String))
    op.create_index("results_by_code", "results", ["code_sha256", "task_version", "scale"])
    op.add_column("submissions", sa.Column("auto_submitted", sa.Boolean, nullable=False, server_default=sa.false()))
    _label()


def _label() -> None:
    """Every result there is, oldest first, one in memory at a time."""
    connection = op.get_bind()
    keys = connection.execute(
        sa.text("SELECT run_key, task_version, scale FROM results ORDER BY finished_at, run_key")
    ).all()
    texts = sa.text("SELECT record, code FROM result_texts WHERE run_key = :run_key")
    label = sa.text(
        "UPDATE results SET code_sha256 = :code_sha256, template_unmodified = :template_unmodified, "
        "duplicate_of = :duplicate_of WHERE run_key = :run_key"
    )
    first: dict[tuple[str, str, str], str] = {}
    for run_key, task_version, scale in keys:
        record, code = connection.execute(texts, {"run_key": run_key}).one()
        files = json.dumps(sorted(json.loads(code).items()), ensure_ascii=True, separators=(",", ":"))
        code_sha256 = hashlib.sha256(files.encode()).hexdigest()
        same = first.setdefault((code_sha256, task_version, scale), run_key)
        labels = {
            "code_sha256": code_sha256,
            "template_unmodified": json.loads(record).get("template_unmodified") is True,
            "duplicate_of": None if same == run_key else same,
        }
        connection.execute(label, {"run_key": run_key} | labels)
