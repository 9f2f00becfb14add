"""Boards: results of one task version, scale, data and class of runner. Where rows come from, as their records say it.

What a record does not say stays null: the row is then on a board whose runner or data is not known. Duplicates are
found again within each board, columns are those of each board, and invented results lose their scores.
"""

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_CLASSES = {"docker": "sandboxed", "slurm": "sandboxed", "local": "local", "fake": "fake"}
_ORIGIN = ("runner", "image", "training_data", "heldout_data", "reserve_data")


def upgrade() -> None:
    text = sa.String(collation="C") if op.get_bind().dialect.name == "postgresql" else sa.String()
    op.create_table(
        "boards",
        sa.Column("id", text, primary_key=True),
        sa.Column("task_id", text, nullable=False),
        sa.Column("task_version", text, nullable=False),
        sa.Column("scale", text, nullable=False),
        sa.Column("data", text),
        sa.Column("runner_class", text, nullable=False),
    )
    op.create_index("boards_by_task", "boards", ["task_id"])
    for name in _ORIGIN:
        op.add_column("results", sa.Column(name, text))
    op.add_column("results", sa.Column("board", text, nullable=False, server_default=""))
    _place()
    _columns(text)
    for name in ("scale", "status", "agent", "session", "time", "code"):
        op.drop_index(f"results_by_{name}", table_name="results")
    op.create_index("results_by_board", "results", ["board", "status"])
    op.create_index("results_by_agent", "results", ["board", "agent"])
    op.create_index("results_by_session", "results", ["board", "session_id"])
    op.create_index("results_by_time", "results", ["board", "finished_at"])
    op.create_index("results_by_code", "results", ["code_sha256", "board"])
    op.create_index("results_of_session", "results", ["session_id"])
    values = sa.table("result_values", sa.column("run_key"), sa.column("kind"))
    results = sa.table("results", sa.column("run_key"), sa.column("runner"))
    invented = sa.select(results.c.run_key).where(results.c.runner == "fake")
    op.execute(sa.delete(values).where(values.c.kind == "score", values.c.run_key.in_(invented)))


def _place() -> None:
    """Every result there is onto its board, in the order in which they were found first of their code before."""
    connection = op.get_bind()
    keys = connection.execute(
        sa.text(
            "SELECT run_key, task_id, task_version, scale, code_sha256 FROM results "
            "ORDER BY duplicate_of IS NOT NULL, finished_at, run_key"
        )
    ).all()
    record_of = sa.text("SELECT record FROM result_texts WHERE run_key = :run_key")
    names = ", ".join(f"{name} = :{name}" for name in ("board", "duplicate_of", *_ORIGIN))
    place = sa.text(f"UPDATE results SET {names} WHERE run_key = :run_key")
    boards: dict[str, dict[str, str | None]] = {}
    first: dict[tuple[str, str], str] = {}
    for run_key, task_id, task_version, scale, code_sha256 in keys:
        origin, data = _origin(json.loads(connection.execute(record_of, {"run_key": run_key}).scalar_one()))
        board = {
            "task_id": task_id,
            "task_version": task_version,
            "scale": scale,
            "data": data,
            "runner_class": _CLASSES.get(origin["runner"] or "", "unknown"),
        }
        board_id = hashlib.sha256(json.dumps(list(board.values())).encode()).hexdigest()[:16]
        boards[board_id] = board
        same = first.setdefault((code_sha256, board_id), run_key)
        labels = {"board": board_id, "duplicate_of": None if same == run_key else same}
        connection.execute(place, {"run_key": run_key} | labels | origin)
    insert = sa.text("INSERT INTO boards VALUES (:id, :task_id, :task_version, :scale, :data, :runner_class)")
    for board_id, board in boards.items():
        connection.execute(insert, {"id": board_id} | board)


def _origin(record: dict[str, object]) -> tuple[dict[str, str | None], str | None]:
    machine, data = _object(record.get("machine")), _object(record.get("data"))
    uses = {use: _object(data.get(use)) for use in ("training", "held_out", "reserve")}
    found = {name: value if isinstance(value := machine.get(name), str) else None for name in ("runner", "image")}
    digests = [_digest(folders) for folders in uses.values()]
    metrics_of = {use: uses[use] for use in ("training", "held_out")}
    known = uses["held_out"] and all(digest is not None for each in metrics_of.values() for digest in each.values())
    key = hashlib.sha256(json.dumps(metrics_of, sort_keys=True).encode()).hexdigest() if known else None
    return found | dict(zip(("training_data", "heldout_data", "reserve_data"), digests, strict=True)), key


def _object(value: object) -> dict[str, str | None]:
    return value if isinstance(value, dict) else {}


def _digest(folders: dict[str, str | None]) -> str | None:
    if not folders or any(digest is None for digest in folders.values()):
        return None
    if len(folders) == 1:
        return next(iter(folders.values()))
    return hashlib.sha256(json.dumps(sorted(folders.items())).encode()).hexdigest()


def _columns(text: sa.String) -> None:
    op.create_table(
        "board_columns",
        sa.Column("board", text, primary_key=True),
        sa.Column("kind", text, primary_key=True),
        sa.Column("name", text, primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
    )
    op.execute(
        "INSERT INTO board_columns (board, kind, name, position) "
        "SELECT results.board, result_values.kind, result_values.name, min(result_values.position) "
        "FROM result_values JOIN results ON results.run_key = result_values.run_key "
        "WHERE result_values.kind IN ('metric', 'elapsed') GROUP BY 1, 2, 3"
    )
    op.drop_table("result_columns")
