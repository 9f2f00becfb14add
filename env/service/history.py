"""A session from its first step on: the API's answers about it, with what every edit and every test changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from env.api.refusal import Kind, Refusal
from env.api.sessions import SessionView, StepView, TestView
from env.service.live import LiveSessions
from env.service.prompt import prompt
from env.service.views import Views
from env.service.workspace import Workspace
from env.store.model import Editables, Step, Test
from env.store.store import Store
from leaderboard import reading
from leaderboard.model import RecordedResult

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
    """One test, the code under test against the task's original, and its row on the leaderboard."""

    view: TestView
    run_key: str
    changes: tuple[FileChange, ...]
    recorded: RecordedResult | None
    """None when it has no row there, or none yet."""

    __test__ = False  # not a test case, whatever pytest makes of the name


@dataclass(frozen=True, kw_only=True)
class SessionHistory:
    """A session with all its tests and one page of its steps."""

    view: SessionView
    title: str
    """The task's."""
    prompt: str
    tests: Sequence[TestHistory]
    steps: Sequence[StepHistory]
    page: int
    """1-based; a page has at most STEPS_PER_PAGE steps."""
    pages: int


class History:
    """Tells sessions to readers, whoever may read them."""

    def __init__(self, store: Store, live: LiveSessions, views: Views) -> None:
        self._store = store
        self._live = live
        self._views = views

    def session(self, bearer: str | None, session_id: str, page: int) -> SessionHistory:
        """Raises Refusal for whom the session is not open to, and for a page it does not have."""
        view = self._views.session(bearer, session_id)
        with self._store.begin() as conn:
            steps = self._store.steps(conn, session_id)
            tests = self._store.tests(conn, session_id)
        pages = max(1, -(-len(steps) // STEPS_PER_PAGE))
        if page > pages:
            raise Refusal(Kind.NOT_FOUND, "unknown_page", f"The trajectory has {pages} page(s), not {page}.")
        start, end = (page - 1) * STEPS_PER_PAGE, page * STEPS_PER_PAGE
        trajectory = self._views.trajectory(bearer, session_id)
        live = self._live.get(session_id)
        opened, task = live.history[0], live.session.task
        changes = _changes_of(opened, steps, {step.seq for step in steps[start:end]})
        return SessionHistory(
            view=view,
            title=task.title,
            prompt=prompt(task, live.session.scale),
            tests=[self._test(bearer, opened, test) for test in tests],
            steps=[StepHistory(step, changes[step.step]) for step in trajectory.steps[start:end]],
            page=page,
            pages=pages,
        )

    def _test(self, bearer: str | None, opened: Workspace, test: Test) -> TestHistory:
        view = self._views.test(bearer, test.session_id, test.n)
        with self._store.begin() as conn:
            recorded = reading.entry(conn, test.run_key)
        return TestHistory(
            view=view, run_key=test.run_key, changes=_changes(opened.texts, test.files), recorded=recorded
        )


def _changes_of(opened: Workspace, steps: Sequence[Step], wanted: set[int]) -> dict[int, tuple[FileChange, ...]]:
    """What each wanted step changed, by its number; the steps between them are followed but not rebuilt."""
    found: dict[int, tuple[FileChange, ...]] = {}
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
            found[step.seq] = () if same else _changes(states[0].texts, states[1].texts)
    return found


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[FileChange, ...]:
    names = [name for name in dict.fromkeys((*before, *after)) if before.get(name) != after.get(name)]
    return tuple(FileChange(name, before.get(name, ""), after.get(name, "")) for name in names)
