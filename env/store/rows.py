"""Values to rows and back. Columns have the names of the values' fields, and their types know times and JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row

from env.store.evaluation import Evaluation
from env.store.model import Editables, Run, Session, Status, Step, Test
from runner.metrics import TrainMetrics
from tasks.model import Task


def session_row(session: Session) -> dict[str, Any]:
    """For insertion into `sessions`."""
    fields = {name: value for name, value in vars(session).items() if name != "task"}
    return {"task_version": session.task.version, **fields}


def read_session(row: Row[Any], task: Task) -> Session:
    """From a row of `sessions` and the task at its version."""
    return Session(
        id=row.id,
        task=task,
        agent=row.agent,
        scale=row.scale,
        metadata=row.metadata,
        token_sha256=row.token_sha256,
        created_at=row.created_at,
        seed=row.seed,
        confirms=row.confirms,
    )


def step_row(session_id: str, step: Step) -> dict[str, Any]:
    """For insertion into `steps`."""
    return {"session_id": session_id, **vars(step)}


def read_step(row: Row[Any]) -> Step:
    """From a row of `steps`."""
    fields = {name: value for name, value in row._mapping.items() if name != "session_id"}
    return Step(**{**fields, "editables": None if row.editables is None else editables(row.editables)})


def editables(stored: Mapping[str, list[list[str]]]) -> Editables:
    """The state of the files that a step left, from JSON, which has lists only."""
    return {name: tuple(map(tuple, segments)) for name, segments in stored.items()}


def test_row(test: Test) -> dict[str, Any]:
    """For insertion into `tests`."""
    fields = {name: value for name, value in vars(test).items() if name != "runs"}
    return {**fields, "status": test.status.value}


def read_test(row: Row[Any], runs: tuple[Run, ...]) -> Test:
    """From a row of `tests` and the runs that belong to it."""
    fields = {name: value for name, value in row._mapping.items() if name != "number"}
    return Test(**{**fields, "status": Status(row.status), "devices": tuple(row.devices), "runs": runs})


def run_row(test: Test, run: Run) -> dict[str, Any]:
    """For insertion into `runs`. JSON has no NaN and no infinity: losses and metrics that are none become null."""
    return {
        "session_id": test.session_id,
        "n": test.n,
        **vars(run),
        "status": run.status.value,
        "series": [(point.step, _finite(point.train_loss), _finite(point.val_loss)) for point in run.series],
        "metrics": {name: _finite(value) for name, value in run.metrics.items()},
        "evaluation": None if run.evaluation is None else run.evaluation.to_json(),
    }


def read_run(row: Row[Any]) -> Run:
    """From a row of `runs`. What was not finite comes back as NaN."""
    fields = {name: value for name, value in row._mapping.items() if name not in ("session_id", "n")}
    changed = {
        "status": Status(row.status),
        "series": tuple(TrainMetrics(step, _number(train), _number(val)) for step, train, val in row.series),
        "metrics": {name: _number(value) for name, value in row.metrics.items()},
        "evaluation": None if row.evaluation is None else Evaluation.from_json(row.evaluation),
    }
    return Run(**{**fields, **changed})


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: float | None) -> float:
    return math.nan if value is None else value
