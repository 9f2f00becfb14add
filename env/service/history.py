"""A session from its first step on: the API's answers about it, with what every edit and every test changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from env.lifecycle.progress import Progress
from env.service.answers import step_view, test_view
from env.service.prompt import prompt
from env.service.refusals import unknown_test
from env.service.workspace import Workspace
from env.store import trajectory
from env.store.model import Session, Test
from env.store.snapshots import Snapshots
from env.store.store import Store
from env.store.unfinished import ahead
from leaderboard import reading
from leaderboard.model import RecordedResult
from ringfence.api.sessions import ProgressView, SessionView, StepView, TestView
from tasks.model import Scale

STEPS_PER_PAGE = 25


@dataclass(frozen=True)
class FileChange:
    """One file before and after: empty texts stand for a file that was not there."""

    filename: str
    before: str
    after: str


@dataclass(frozen=True)
class StepHistory:
    """One step, and what it changed."""

    view: StepView
    changes: tuple[FileChange, ...]


@dataclass(frozen=True, kw_only=True)
class TestHistory:
    """One test or probe, the code under test against the task's original, and its row on the leaderboard."""

    view: TestView
    run_key: str
    changes: tuple[FileChange, ...]
    recorded: RecordedResult | None
    """None when it has no row there, or none yet; probes have none."""

    __test__ = False  # not a test case, whatever pytest makes of the name


@dataclass(frozen=True, kw_only=True)
class SessionHistory:
    """A session with all its tests and probes, in the order they were bought, and one page of its steps."""

    view: SessionView
    title: str
    """The task's."""
    prompt: str
    proxy: Scale | None
    """The scale that its probes run at; None where it can have none."""
    tests: Sequence[TestHistory]
    steps: Sequence[StepHistory]
    page: int
    """1-based; a page has at most STEPS_PER_PAGE steps."""
    pages: int


@dataclass(frozen=True, kw_only=True)
class HistoryPage:
    """One page of a session's history, asked for by somebody who may read it."""

    view: SessionView
    running: Mapping[int, ProgressView]
    """Of the tests and probes that are not over, by their keys: how far they are, without all their losses."""
    page: int
    pages: int


class History:
    """Reads sessions from snapshots, whoever may read them."""

    def __init__(self, store: Store, snapshots: Snapshots) -> None:
        self._store = store
        self._snapshots = snapshots

    def session(self, wanted: HistoryPage) -> SessionHistory:
        """A session with one page of its steps."""
        session_id = wanted.view.session_id
        first = (wanted.page - 1) * STEPS_PER_PAGE + 1
        last = min(wanted.page * STEPS_PER_PAGE, wanted.view.steps)
        with self._snapshots.open() as conn:
            session = self._store.session(conn, session_id)
            assert session is not None, session_id
            opened = Workspace.open(session.task)
            tests = self._store.tests(conn, session_id)
            results = {test.n: test.observation for test in tests}
            changes = _changes_of(conn, opened, session_id, first, last)
            steps = [
                StepHistory(step_view(step, results), changes.get(step.seq, ()))
                for step in trajectory.each_step(conn, session_id, first, last)
            ]
            of_tests = [
                TestHistory(
                    view=_test_view(session, test, wanted.running.get(test.n)),
                    run_key=test.run_key,
                    changes=_changes(opened.texts, test.files),
                    recorded=reading.entry(conn, test.run_key),
                )
                for test in tests
            ]
        return SessionHistory(
            view=wanted.view,
            title=session.task.title,
            prompt=prompt(session.task, session.scale),
            proxy=session.proxy,
            tests=of_tests,
            steps=steps,
            page=wanted.page,
            pages=wanted.pages,
        )

    def steps(self, session_id: str, last: int) -> Iterator[StepView]:
        """A session's steps up to this one, read as they are asked for."""
        with self._snapshots.open() as conn:
            told = {test.n: test.observation for test in self._store.tests(conn, session_id)}
            for step in trajectory.each_step(conn, session_id, last=last):
                yield step_view(step, told)

    def test(self, session_id: str, n: int, live: Progress | None) -> TestView:
        """A test or probe, by its key, with all its losses; `live` is what it tells of itself while it runs. Raises
        Refusal.
        """
        with self._snapshots.open() as conn:
            session = self._store.session(conn, session_id)
            test = self._store.test(conn, session_id, n)
            before = ahead(conn, session_id, n)
        if session is None or test is None:
            raise unknown_test(session_id, n)
        return test_view(session, test, None if test.status.final else live, before)


def _test_view(session: Session, test: Test, running: ProgressView | None) -> TestView:
    view = test_view(session, test, None, None)
    return view if running is None or test.status.final else view.model_copy(update={"progress": running})


def _changes_of(
    conn: Connection, opened: Workspace, session_id: str, first: int, last: int
) -> dict[int, tuple[FileChange, ...]]:
    """What the steps with these numbers changed; of the others nothing is read but in which order they came."""
    edits: list[int] = [0]  # 0: the files as opened
    around: dict[int, tuple[int, int]] = {}
    for change in trajectory.changes(conn, session_id):
        before = edits[-1]
        if change.undone:
            del edits[-change.undone :]
        else:
            edits.append(change.seq)
        if first <= change.seq <= last:
            around[change.seq] = before, edits[-1]
    wanted = {seq for pair in around.values() for seq in pair if seq}
    texts = {0: opened.texts}
    for seq, state in trajectory.states(conn, session_id, wanted).items():
        texts[seq] = opened.restored(state).texts
    return {seq: _changes(texts[before], texts[after]) for seq, (before, after) in around.items()}


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[FileChange, ...]:
    names = [name for name in dict.fromkeys((*before, *after)) if before.get(name) != after.get(name)]
    return tuple(FileChange(name, before.get(name, ""), after.get(name, "")) for name in names)
