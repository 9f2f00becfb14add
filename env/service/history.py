"""A session from its first step on: the API's answers about it, with what every edit and every test changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from env.api.refusal import Kind, Refusal
from env.api.sessions import SessionView, StepView, TestView
from env.service.answers import step_view
from env.service.live import LiveSessions
from env.service.prompt import prompt
from env.service.views import Views
from env.service.workspace import Workspace
from env.store import trajectory
from env.store.snapshots import Snapshots
from env.store.store import Store
from leaderboard import reading
from leaderboard.model import RecordedResult
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


class History:
    """Tells sessions to readers, whoever may read them."""

    def __init__(self, store: Store, live: LiveSessions, views: Views, snapshots: Snapshots) -> None:
        self._store = store
        self._live = live
        self._views = views
        self._snapshots = snapshots

    async def session(self, bearer: str | None, session_id: str, page: int) -> SessionHistory:
        """Raises Refusal for whom the session is not open to, and for a page it does not have."""
        view = self._views.session(bearer, session_id)
        live = self._live.get(session_id)
        pages = max(1, -(-live.seq // STEPS_PER_PAGE))
        if page > pages:
            raise Refusal(Kind.NOT_FOUND, "unknown_page", f"The trajectory has {pages} page(s), not {page}.")
        tests = {key: self._views.test(bearer, session_id, key) for key in self._views.tests(bearer, session_id)}
        first = (page - 1) * STEPS_PER_PAGE + 1
        last = min(page * STEPS_PER_PAGE, live.seq)
        of_tests, of_steps = await self._snapshots.beside(self._read, live.opened, session_id, tests, first, last)
        task = live.session.task
        return SessionHistory(
            view=view,
            title=task.title,
            prompt=prompt(task, live.session.scale),
            proxy=live.session.proxy,
            tests=of_tests,
            steps=of_steps,
            page=page,
            pages=pages,
        )

    def _read(
        self, opened: Workspace, session_id: str, views: Mapping[int, TestView], first: int, last: int
    ) -> tuple[list[TestHistory], list[StepHistory]]:
        """The tests and probes whose views these are, by their keys, and the steps with these numbers."""
        with self._snapshots.open() as conn:
            tests = {test.n: test for test in self._store.tests(conn, session_id)}
            results = {n: test.observation for n, test in tests.items()}
            changes = _changes_of(conn, opened, session_id, first, last)
            steps = [
                StepHistory(step_view(step, results), changes.get(step.seq, ()))
                for step in trajectory.each_step(conn, session_id, first, last)
            ]
            of_tests = [
                TestHistory(
                    view=view,
                    run_key=tests[key].run_key,
                    changes=_changes(opened.texts, tests[key].files),
                    recorded=reading.entry(conn, tests[key].run_key),
                )
                for key, view in views.items()
            ]
        return of_tests, steps


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
