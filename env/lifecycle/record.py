"""A finished test as a leaderboard result, with the record of where its numbers came from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.metadata import version

from env.feedback import flat_metrics
from env.session import Session, Test
from leaderboard.model import Result


def result_of(session: Session, test: Test, machine: Mapping[str, str]) -> Result:
    assert session.scale is not None
    assert test.ended_at is not None
    scale = session.task.scales[session.scale]
    metrics, elapsed = flat_metrics(test)
    return Result(
        run_key=test.run_key,
        task_id=session.task.id,
        task_version=session.task.version,
        agent=session.agent,
        session_id=session.id,
        test=test.n,
        status=test.status.value,
        scale=scale.name,
        seed=scale.seed,
        finished_at=test.ended_at,
        metrics=metrics,
        elapsed=elapsed,
        record={
            "code_sha256": {path: _sha256(text) for path, text in test.files.items()},
            "template_sha256": _sha256(session.task.text),
            "template_unmodified": test.files == {session.task.filename: session.task.text},
            "ringfence": version("ringfence"),
            "world_size": scale.world_size,
            "settings": dict(scale.settings),
            "machine": dict(machine),
            "runs": [
                {
                    "run": run.run_id,
                    "stage": run.label,
                    "status": run.status.value,
                    "reason": run.reason,
                    "started_at": run.started_at,
                    "ended_at": run.ended_at,
                }
                for run in test.runs
            ],
        },
        code=test.files,
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
