"""Values to columns and back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row

from env.store.evaluation import Evaluation
from env.store.model import Editables, Run, Session, Status, Step, Test
from runner.metrics import TrainMetrics
from tasks.model import Task

Series = list[tuple[int, float | None, float | None]]
"""Step, train and validation loss; None where a loss was not finite."""

# ASCII only: NUL and lone surrogates become escapes, which every database stores.
dump = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


def time_text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def read_session(row: Row[Any], task: Task) -> Session:
    return Session(
        row.id,
        task,
        row.agent,
        row.scale,
        json.loads(row.metadata),
        row.token_sha256,
        read_time(row.created_at),
        row.seed,
    )


def step_columns(session_id: str, step: Step) -> dict[str, Any]:
    return {
        "session_id": session_id,
        "seq": step.seq,
        "tool": step.tool,
        "input": dump(step.input),
        "ok": step.ok,
        "code": step.code,
        "observation": step.observation,
        "at": time_text(step.at),
        "test": step.test,
        "editables": None if step.editables is None else dump(step.editables),
        "undone": step.undone,
    }


def read_step(row: Row[Any]) -> Step:
    return Step(
        row.seq,
        row.tool,
        json.loads(row.input),
        row.ok,
        row.observation,
        read_time(row.at),
        row.code,
        row.test,
        None if row.editables is None else read_editables(row.editables),
        row.undone,
    )


def read_series(text: str) -> Series:
    return [(step, train, val) for step, train, val in json.loads(text)]


def read_editables(text: str) -> Editables:
    return {name: tuple(tuple(lines) for lines in segments) for name, segments in json.loads(text).items()}


def read_test(row: Row[Any], runs: tuple[Run, ...]) -> Test:
    return Test(
        row.session_id,
        row.n,
        Status(row.status),
        json.loads(row.files),
        read_time(row.created_at),
        row.started_at and read_time(row.started_at),
        row.ended_at and read_time(row.ended_at),
        row.cancel_requested,
        row.refunded,
        row.observation,
        tuple(json.loads(row.devices)),
        runs,
    )


def run_columns(session_id: str, n: int, position: int, run: Run) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "session_id": session_id,
        "n": n,
        "position": position,
        "label": run.label,
        "script": run.script,
        "status": run.status.value,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "reason": run.reason,
        "output": run.output,
        "series": dump([[p.step, _finite(p.train_loss), _finite(p.val_loss)] for p in run.series]),
        "note": run.note,
        "metrics": dump({name: _finite(value) for name, value in run.metrics.items()}),
        "evaluation": None if run.evaluation is None else dump(run.evaluation.to_json()),
    }


def read_run(row: Row[Any]) -> Run:
    metrics: Mapping[str, float | None] = json.loads(row.metrics)
    return Run(
        row.run_id,
        row.label,
        row.script,
        Status(row.status),
        row.started_at,
        row.ended_at,
        row.reason,
        row.output,
        tuple(TrainMetrics(step, _number(train), _number(val)) for step, train, val in json.loads(row.series)),
        {name: _number(value) for name, value in metrics.items()},
        row.note,
        None if row.evaluation is None else Evaluation.from_json(json.loads(row.evaluation)),
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: float | None) -> float:
    return math.nan if value is None else value
