"""Sessions and loss curves for readers: the trajectory with what every edit changed, and the series of every result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import Engine

from env.api.refusal import Kind, Refusal
from env.service.live import LiveSession, LiveSessions
from env.service.prompt import prompt
from env.service.refusals import unknown_result
from env.service.views import Views
from env.service.workspace import Workspace
from env.store.codec import time_text
from env.store.model import Editables, Step, Test
from env.store.store import Store
from leaderboard import reading as leaderboard
from leaderboard.curve import Curve
from leaderboard.model import Entry
from leaderboard.pages.story import STEPS_PER_PAGE, Change, SessionStory, StepStory, TestStory


class History:
    def __init__(self, engine: Engine, store: Store, live: LiveSessions, views: Views) -> None:
        self._engine = engine
        self._store = store
        self._live = live
        self._views = views

    def session(self, bearer: str | None, session_id: str, page: int) -> SessionStory:
        """Raises Refusal for whom the session is not open to, and for a page it does not have."""
        seen = self._views.session(bearer, session_id)
        live = self._live.get(session_id)
        with self._engine.begin() as conn:
            steps = self._store.steps(conn, session_id)
            tests = self._store.tests(conn, session_id)
        pages = max(1, -(-len(steps) // STEPS_PER_PAGE))
        if page > pages:
            raise Refusal(Kind.NOT_FOUND, "unknown_page", f"The trajectory has {pages} page(s), not {page}.")
        shown = steps[(page - 1) * STEPS_PER_PAGE : page * STEPS_PER_PAGE]
        session, told = live.session, {test.n: test.observation for test in tests}
        return SessionStory(
            session_id=session.id,
            task=session.task.id,
            title=session.task.title,
            agent=session.agent,
            scale=session.scale,
            metadata=session.metadata,
            state=seen.state,
            created_at=seen.created_at,
            submitted=None if seen.submission is None else seen.submission.n,
            submitted_at=None if seen.submission is None else seen.submission.submitted_at,
            budget=seen.budget.to_dict(),
            prompt=prompt(session.task, session.scale),
            tests=[self._test(bearer, live, test) for test in tests],
            steps=[_step(step, told, changes) for step, changes in _with_changes(live.history[0], steps, shown)],
            total_steps=len(steps),
            page=page,
        )

    def curve(self, run_key: str) -> tuple[str, Curve]:
        """A result's losses and the label of the stage they are from: of its last attempt, where there were several."""
        with self._engine.begin() as conn:
            entry = leaderboard.entry(conn, run_key)
            if entry is None:
                raise unknown_result(run_key)
            found = self._store.series(conn, entry.result.session_id, entry.result.test)
        label, points = next(((label, series) for label, series in reversed(found) if series), ("", []))
        step, train, val = zip(*points, strict=True) if points else ((), (), ())
        return label, Curve(step, train, val)

    def _test(self, bearer: str | None, live: LiveSession, test: Test) -> TestStory:
        seen = self._views.test(bearer, test.session_id, test.n)
        with self._engine.begin() as conn:
            entry = leaderboard.entry(conn, test.run_key)
        progress = seen.progress
        return TestStory(
            n=test.n,
            run_key=test.run_key,
            status=test.status.value,
            refunded=test.refunded,
            started_at=seen.started_at,
            ended_at=seen.ended_at,
            stages=[stage.to_dict() for stage in seen.stages],
            changes=_changes(live.history[0].texts, test.files),
            curve=bool(progress.series),
            record=None if entry is None else entry.result.record,
            labels=() if entry is None else tuple(_labels(entry)),
            stage=progress.stage,
            step=progress.step,
            total_steps=progress.total_steps,
            eta_s=progress.eta_s,
        )


def _labels(entry: Entry) -> Iterator[str]:
    if entry.result.template_unmodified:
        yield "unedited template"
    if entry.duplicate_of is not None:
        yield f"same code as {entry.duplicate_of}"
    if entry.auto_submitted:
        yield "submitted automatically"


def _step(step: Step, told: Mapping[int, str | None], changes: tuple[Change, ...]) -> StepStory:
    # A test's step tells what came of it, once that is known.
    observation = step.observation
    if step.tool == "test" and step.test is not None:
        observation = told[step.test] or observation
    return StepStory(step.seq, step.tool, step.input, step.ok, observation, time_text(step.at), step.test, changes)


def _with_changes(
    opened: Workspace, steps: Sequence[Step], shown: Sequence[Step]
) -> Iterator[tuple[Step, tuple[Change, ...]]]:
    """Each shown step with what it changed; the steps before them are followed but not rebuilt."""
    wanted = {step.seq for step in shown}
    history: list[Editables | None] = [None]  # None: the files as opened
    for step in steps:
        before = history[-1]
        if step.editables is not None:
            history.append(step.editables)
        if step.undone:
            del history[-step.undone :]
        if step.seq in wanted:
            same = history[-1] is before
            states = [opened if state is None else opened.restored(state) for state in (before, history[-1])]
            yield step, () if same else _changes(states[0].texts, states[1].texts)


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Change, ...]:
    names = dict.fromkeys((*before, *after))
    return tuple(
        Change(name, before.get(name, ""), after.get(name, "")) for name in names if before.get(name) != after.get(name)
    )
