"""From stored values to the API's answers."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from env.api.results import Labels, StoredResult
from env.api.sessions import (
    Budget,
    ClosedView,
    File,
    Point,
    ProgressView,
    QueuePlace,
    SessionView,
    StageView,
    StepView,
    SubmissionView,
    TestBrief,
    TestView,
    TrajectoryView,
)
from env.lifecycle.feedback import stage_metrics
from env.lifecycle.progress import Progress
from env.service.live import LiveSession
from env.service.workspace import Workspace
from env.store.model import Run, Session, Step, Test, tests_left
from leaderboard.column_types import time_text
from leaderboard.model import RecordedResult
from leaderboard.naming import MORE_COMPUTE, metric_column
from leaderboard.table import iso
from runner.metrics import TrainMetrics
from runner.protocol import Queued

# --- sessions -----------------------------------------------------------------------------------------------------


def budget(session: Session, tests: Iterable[Test]) -> Budget:
    """What the session may spend, and what is left of it."""
    limits = session.task.budget
    return Budget(tests=limits.tests, tests_remaining=tests_left(session, tests), steps=limits.steps)


def files(workspace: Workspace) -> tuple[File, ...]:
    """The session's files with the ranges that may be edited now."""
    return tuple(
        File(filename=each.filename, text=each.text, editable=each.ranges, total_lines=each.total_lines)
        for each in workspace.documents.values()
    )


def session_view(live: LiveSession, tests: Sequence[Test]) -> SessionView:
    session, submitted, ending = live.session, live.submission, live.ending
    return SessionView(
        session_id=session.id,
        task=session.task.id,
        agent=session.agent,
        scale=session.scale,
        metadata=dict(session.metadata),
        state="submitted" if submitted else "closed" if ending else "open",
        created_at=time_text(session.created_at),
        budget=budget(session, tests),
        steps=live.seq,
        revision=live.revision,
        files=files(live.workspace),
        tests=tuple(map(_test_brief, tests)),
        submission=None
        if submitted is None
        else SubmissionView(n=submitted.test, submitted_at=time_text(submitted.at), auto_submitted=ending is not None),
        closed=None if ending is None else ClosedView(at=time_text(ending.at), reason=ending.reason),
    )


def trajectory_view(live: LiveSession) -> TrajectoryView:
    """All but the steps."""
    session = live.session
    return TrajectoryView(
        session_id=session.id,
        task=session.task.id,
        task_version=session.task.version,
        agent=session.agent,
        scale=session.scale,
        steps=(),
        files=files(live.workspace),
        submission=None if live.submission is None else {"n": live.submission.test},
    )


def step_view(step: Step, results: Mapping[int, str | None]) -> StepView:
    """A test's step tells what came of it, once that is known: `results` has the tests' observations by number."""
    told = results[step.test] if step.tool == "test" and step.test is not None else None
    return StepView(
        step=step.seq,
        tool=step.tool,
        input=dict(step.input),
        ok=step.ok,
        code=step.code,
        observation=told or step.observation,
        test=step.test,
        at=time_text(step.at),
    )


# --- tests --------------------------------------------------------------------------------------------------------


def _test_brief(test: Test) -> TestBrief:
    return TestBrief(
        n=test.n,
        status=test.status.value,
        refunded=test.refunded,
        created_at=time_text(test.created_at),
        started_at=None if test.started_at is None else time_text(test.started_at),
        ended_at=None if test.ended_at is None else time_text(test.ended_at),
    )


def test_view(test: Test, progress: Progress | None) -> TestView:
    """`progress` is that of the run under way, None when there is none."""
    return TestView(
        **_test_brief(test).to_dict(),
        progress=progress_view(progress, _reported(test, progress)),
        metrics={
            metric_column(name, run.label): _finite(value) for run in test.runs for name, value in run.metrics.items()
        },
        stages=tuple(_stage_views(test.runs)),
        observation=test.observation,
    )


def _reported(test: Test, live: Progress | None) -> Sequence[TrainMetrics]:
    return live.series if live is not None else tuple(point for run in test.runs for point in run.series)


def progress_view(live: Progress | None, series: Sequence[TrainMetrics]) -> ProgressView:
    """`series` are losses up to the last one there is."""
    return ProgressView(
        stage=live.label if live is not None else None,
        evaluating=live.evaluating if live is not None else False,
        attempt=live.attempt if live is not None else 1,
        step=series[-1].step if series else 0,
        total_steps=live.total_steps if live is not None else None,
        eta_s=live.eta_s(time.time()) if live is not None else None,
        series=tuple(map(point_view, series)),
        queue=None if live is None or live.queued is None else _queue_place(live.queued),
    )


def _queue_place(queued: Queued) -> QueuePlace:
    return QueuePlace(place=queued.place, reason=queued.reason, expected_start=queued.expected_start or None)


def point_view(point: TrainMetrics) -> Point:
    """One TRAIN_METRICS line; what is not finite is None."""
    return Point(step=point.step, train_loss=_finite(point.train_loss), val_loss=_finite(point.val_loss))


def _stage_views(runs: Iterable[Run]) -> Iterator[StageView]:
    for label, of_stage in groupby(runs, key=lambda run: run.label):
        stage = list(of_stage)
        yield StageView(
            label=label,
            script=stage[0].script,
            status=stage[-1].status.value,
            reason=stage[-1].reason,
            elapsed_s=round(sum(run.elapsed_s for run in stage), 3),
            metrics=_all_finite(stage_metrics(stage)),
        )


# --- tasks and results --------------------------------------------------------------------------------------------


def result_view(entry: RecordedResult, *, with_code: bool) -> StoredResult:
    result = entry.result
    return StoredResult(
        run_key=result.run_key,
        timestamp=iso(result.finished_at),
        task_id=result.task_id,
        task_version=result.task_version,
        agent=result.agent,
        session_id=result.session_id,
        test=result.test,
        is_final=entry.is_final,
        status=result.status,
        scale=result.scale,
        seed=result.seed,
        score=entry.score,
        delta_noise=entry.delta_noise,
        parameters=result.parameters,
        compute=result.compute,
        certified=result.certified,
        certified_error=result.certified_error,
        labels=Labels(
            template_unmodified=result.template_unmodified,
            duplicate_of=entry.duplicate_of,
            auto_submitted=entry.auto_submitted,
            more_compute=result.compute is not None and result.compute > MORE_COMPUTE,
        ),
        metrics=_all_finite(result.metrics),
        elapsed=_all_finite(result.elapsed),
        record=dict(result.record),
        code_sha256=result.code_sha256,
        code=dict(result.code) if with_code else None,
    )


def _all_finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _finite(value) for name, value in values.items()}


def _finite(value: float) -> float | None:
    """JSON has no number for what is not finite."""
    return value if math.isfinite(value) else None
