"""From stored values to the API's answers."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from env.lifecycle.progress import Progress
from env.lifecycle.results import stage_metrics
from env.service.comparisons import comparison_view
from env.service.live import LiveSession
from env.service.workspace import Workspace
from env.store.budget import gpu_hours_used, probes_left, tests_left
from env.store.confirmations import Confirmation
from env.store.keys import is_probe
from env.store.model import Run, Session, Step, Test
from leaderboard.board import RunnerClass
from leaderboard.column_types import time_text
from leaderboard.comparison import Comparison
from leaderboard.naming import metric_column
from ringfence.api.sessions import (
    Budget,
    ClosedView,
    ConfirmationView,
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
from runner.metrics import TrainMetrics
from runner.protocol import Queued

# --- sessions -----------------------------------------------------------------------------------------------------


def budget(session: Session, tests: Iterable[Test]) -> Budget:
    """What the session may spend, and what is left of it."""
    limits, had = session.task.budget, tuple(tests)
    own = {
        "tests": limits.tests,
        "tests_remaining": tests_left(session, had),
        "steps": limits.steps,
        "gpu_hours": limits.gpu_hours,
        "gpu_hours_used": None if limits.gpu_hours is None else round(gpu_hours_used(had), 4),
    }
    if session.proxy is None:
        return Budget(**own)
    return Budget(**own, probes=limits.probes, probes_remaining=probes_left(session, had))


def files(workspace: Workspace) -> tuple[File, ...]:
    """The session's files with the ranges that may be edited now."""
    return tuple(
        File(filename=each.filename, text=each.text, editable=each.ranges, total_lines=each.total_lines)
        for each in workspace.documents.values()
    )


def session_view(
    live: LiveSession, tests: Sequence[Test], confirmed: Sequence[Confirmation], compared: Comparison | None
) -> SessionView:
    """`confirmed` and `compared` are about what it submitted."""
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
        tests=tuple(_test_brief(session, test) for test in tests if not test.is_probe),
        **_probes(session, tests),
        submission=None
        if submitted is None
        else SubmissionView(n=submitted.test, submitted_at=time_text(submitted.at), auto_submitted=ending is not None),
        closed=None if ending is None else ClosedView(at=time_text(ending.at), reason=ending.reason),
        confirms=session.confirms,
        confirmations=confirmation_views(confirmed),
        comparison=comparison_view(compared),
    )


def confirmation_views(confirmed: Iterable[Confirmation]) -> tuple[ConfirmationView, ...]:
    return tuple(
        ConfirmationView(session_id=one.session_id, seed=one.seed, status=one.status.value) for one in confirmed
    )


def _probes(session: Session, tests: Sequence[Test]) -> Mapping[str, tuple[TestBrief, ...]]:
    if session.proxy is None:
        return {}
    return {"probes": tuple(_test_brief(session, test) for test in tests if test.is_probe)}


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
    """A test's step tells what came of it, once that is known: `results` has the tests' observations by their keys."""
    told = results[step.test] if step.tool in ("test", "probe") and step.test is not None else None
    of_probe = step.test is not None and is_probe(step.test)
    return StepView(
        step=step.seq,
        tool=step.tool,
        input=dict(step.input),
        ok=step.ok,
        code=step.code,
        observation=told or step.observation,
        test=None if of_probe else step.test,
        at=time_text(step.at),
        **({"probe": abs(step.test)} if of_probe and step.test is not None else {}),
    )


# --- tests --------------------------------------------------------------------------------------------------------


def _test_brief(session: Session, test: Test) -> TestBrief:
    about: dict[str, Any] = {"kind": "probe", "scale": session.size_of(test).name} if test.is_probe else {}
    return TestBrief(
        n=test.number,
        **about,
        status=test.status.value,
        refunded=test.refunded,
        created_at=time_text(test.created_at),
        started_at=None if test.started_at is None else time_text(test.started_at),
        ended_at=None if test.ended_at is None else time_text(test.ended_at),
        runner=test.runner,
        mark="" if test.started_at is None else RunnerClass.of(test.runner).mark,
    )


def test_view(session: Session, test: Test, progress: Progress | None, ahead: int | None) -> TestView:
    """`progress` is that of the run under way, None when there is none; `ahead` is how many tests wait before it."""
    return TestView(
        **_test_brief(session, test).to_dict(),
        progress=progress_view(progress, _reported(test, progress)),
        metrics={
            metric_column(name, run.label): _finite(value) for run in test.runs for name, value in run.metrics.items()
        },
        stages=tuple(_stage_views(test.runs)),
        observation=test.observation,
        ahead=ahead,
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
            metrics=all_finite(stage_metrics(stage)),
        )


# --- tasks and results --------------------------------------------------------------------------------------------


def all_finite(values: Mapping[str, float]) -> dict[str, float | None]:
    """By name, with None for what JSON has no number for."""
    return {name: _finite(value) for name, value in values.items()}


def _finite(value: float) -> float | None:
    """JSON has no number for what is not finite."""
    return value if math.isfinite(value) else None
