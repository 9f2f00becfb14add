"""Tests as they go their way, counted and logged."""

from __future__ import annotations

from env.store.model import Run, Session, Test
from env.telemetry.logs import TESTS, event
from env.telemetry.metrics import Metrics


class Telemetry:
    """Watches the lifecycle for the metrics and the log."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def started(self, session: Session, test: Test) -> None:
        waited = (test.started_at - test.created_at).total_seconds() if test.started_at else 0.0
        event(TESTS, "test started", **_whose(session, test), devices=",".join(test.devices), waited_s=round(waited, 3))

    def ran(self, session: Session, test: Test, run: Run, *, evaluates: bool) -> None:
        part = "evaluation" if evaluates else "training"
        self._metrics.stages.labels(run.label, part, run.status.value).observe(run.elapsed_s)
        event(
            TESTS,
            "stage ended",
            **_whose(session, test),
            stage=run.label,
            part=part,
            status=run.status.value,
            seconds=round(run.elapsed_s, 3),
            reason=run.reason or None,
        )

    def finished(self, session: Session, test: Test) -> None:
        event(TESTS, "test ended", **_whose(session, test), status=test.status.value, refunded=test.refunded)


def _whose(session: Session, test: Test) -> dict[str, object]:
    which = "probe" if test.is_probe else "test"
    return {"session": session.id, which: test.number, "task": session.task.id, "scale": session.size_of(test).name}
