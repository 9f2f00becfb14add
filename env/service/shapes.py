"""JSON shapes that several answers share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from env.api.refusal import Kind, Refusal
from env.service.workspace import Workspace
from env.store.model import Test
from leaderboard.model import RecordedResult
from leaderboard.naming import MORE_COMPUTE
from leaderboard.table import iso
from tasks.model import Task


def unknown_task(task_id: str, tasks: Iterable[str]) -> Refusal:
    return Refusal(
        Kind.NOT_FOUND, "unknown_task", f"There is no task {task_id[:64]!r}. Tasks: {', '.join(sorted(tasks))}."
    )


def unknown_test(session_id: str, n: int) -> Refusal:
    return Refusal(Kind.NOT_FOUND, "unknown_test", f"Session {session_id} has no test #{n}.")


def unknown_result(run_key: str) -> Refusal:
    return Refusal(
        Kind.NOT_FOUND,
        "unknown_result",
        f"There is no result {run_key[:64]!r}. Each row of GET /v1/leaderboards/{{task_id}} names its run_key.",
    )


def no_scale() -> Refusal:
    return Refusal(Kind.CONFLICT, "no_scale", "This task has no scales: it can be edited but not tested.")


def budget(task: Task, tests: list[Test]) -> dict[str, int]:
    """What the session may spend, and what is left of it."""
    used = sum(not test.refunded for test in tests)
    return {"tests": task.budget.tests, "tests_remaining": task.budget.tests - used, "steps": task.budget.steps}


def files(workspace: Workspace) -> list[dict[str, Any]]:
    return [
        {
            "filename": document.filename,
            "text": document.text,
            "editable": [list(pair) for pair in document.ranges],
            "total_lines": document.total_lines,
        }
        for document in workspace.documents.values()
    ]


def result_whole(entry: RecordedResult, *, with_code: bool) -> dict[str, Any]:
    result = entry.result
    return {
        "run_key": result.run_key,
        "timestamp": iso(result.finished_at),
        "task_id": result.task_id,
        "task_version": result.task_version,
        "agent": result.agent,
        "session_id": result.session_id,
        "test": result.test,
        "is_final": entry.is_final,
        "status": result.status,
        "scale": result.scale,
        "seed": result.seed,
        "score": entry.score,
        "delta_noise": entry.delta_noise,
        "parameters": result.parameters,
        "compute": result.compute,
        "labels": {
            "template_unmodified": result.template_unmodified,
            "duplicate_of": entry.duplicate_of,
            "auto_submitted": entry.auto_submitted,
            "more_compute": result.compute is not None and result.compute > MORE_COMPUTE,
        },
        "metrics": _finite(result.metrics),
        "elapsed": _finite(result.elapsed),
        "record": result.record,
        "code_sha256": result.code_sha256,
        "code": dict(result.code) if with_code else None,
    }


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
