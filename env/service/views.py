"""What can be read of a session, of its tests and of a result, and by whom."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from env.api.refusal import Refusal
from env.api.results import StoredResult
from env.api.sessions import ProgressView, SessionView, StepView, TestView, TrajectoryView
from env.lifecycle.loop import Lifecycle
from env.lifecycle.progress import Progress
from env.service.access import Access
from env.service.answers import progress_view, result_view, session_view, step_view, test_view, trajectory_view
from env.service.live import LiveSession, LiveSessions
from env.service.refusals import unknown_result, unknown_test
from env.store import trajectory
from env.store.model import Session
from env.store.snapshots import Snapshots
from env.store.store import Store
from leaderboard import reading as leaderboard

MANY_POINTS = 500
MUCH_REPORTED = 40_000
"""Of the stored losses of a test, in characters: about as many."""


@dataclass(frozen=True, kw_only=True)
class News:
    """What there is to tell of a test to those who have heard of it before."""

    status: str
    over: bool
    progress: ProgressView
    """With the losses that are new."""


class Views:
    """A probe is asked for as a test is, by its key (`key_of_probe`).

    Every call raises Refusal for whom the session is not open to, and for what does not exist."""

    def __init__(
        self, store: Store, live: LiveSessions, lifecycle: Lifecycle, access: Access, snapshots: Snapshots
    ) -> None:
        self._store = store
        self._live = live
        self._lifecycle = lifecycle
        self._access = access
        self._snapshots = snapshots

    def session(self, bearer: str | None, session_id: str) -> SessionView:
        live = self._readable(bearer, session_id)
        with self._store.read() as conn:
            return session_view(live, self._store.tests(conn, session_id))

    def test(self, bearer: str | None, session_id: str, n: int) -> TestView:
        session = self._readable(bearer, session_id).session
        with self._store.read() as conn:
            test = self._store.test(conn, session_id, n)
        if test is None:
            raise unknown_test(session_id, n)
        # The supervisor of a test lives a moment longer than the test: what is over shows no progress of its own.
        return test_view(session, test, None if test.status.final else self._lifecycle.progress(session_id, n))

    def tests(self, bearer: str | None, session_id: str) -> list[int]:
        """The keys of the session's tests and probes, in the order they were bought."""
        self._readable(bearer, session_id)
        with self._store.read() as conn:
            return self._store.test_keys(conn, session_id)

    async def test_aside(self, bearer: str | None, session_id: str, n: int) -> TestView:
        """The same as `test`; one that has reported many losses is read beside the service's own thread."""
        session = self._readable(bearer, session_id).session
        live = self._lifecycle.progress(session_id, n)
        with self._store.read() as conn:
            many = self._store.reported(conn, session_id, n) > MUCH_REPORTED
        if not many and (live is None or len(live.series) <= MANY_POINTS):
            return self.test(bearer, session_id, n)
        return await self._snapshots.beside(self._whole_test, session, n, None if live is None else live.copy())

    def _whole_test(self, session: Session, n: int, live: Progress | None) -> TestView:
        with self._snapshots.open() as conn:
            test = self._store.test(conn, session.id, n)
        if test is None:
            raise unknown_test(session.id, n)
        return test_view(session, test, None if test.status.final else live)

    def news(self, bearer: str | None, session_id: str, n: int, shown: int, most: int | None = None) -> News:
        """How far a test is, and its losses but for the first `shown`, at most so many: that is what it costs."""
        self._readable(bearer, session_id)
        with self._store.read() as conn:
            status = self._store.status(conn, session_id, n)
        if status is None:
            raise unknown_test(session_id, n)
        live = None if status.final else self._lifecycle.progress(session_id, n)
        return News(
            status=status.value,
            over=status.final,
            progress=progress_view(live, () if live is None else live.series, shown, most),
        )

    def trajectory(self, bearer: str | None, session_id: str) -> tuple[TrajectoryView, Iterator[StepView]]:
        """The trajectory without its steps, and the steps one after another, read by whichever thread asks for them."""
        live = self._readable(bearer, session_id)
        return trajectory_view(live), self._steps(session_id, live.seq)

    def _steps(self, session_id: str, last: int) -> Iterator[StepView]:
        with self._snapshots.open() as conn:
            told = {test.n: test.observation for test in self._store.tests(conn, session_id)}
            for step in trajectory.each_step(conn, session_id, last=last):
                yield step_view(step, told)

    def result(self, bearer: str | None, run_key: str) -> StoredResult:
        """A row of a leaderboard, whole. Its code is its agent's affair until the session is over."""
        with self._store.read() as conn:
            entry = leaderboard.entry(conn, run_key)
            if entry is None:
                raise unknown_result(run_key)
        with_code = entry.session_over or self._may_read(bearer, entry.result.session_id)
        return result_view(entry, with_code=with_code)

    def _may_read(self, bearer: str | None, session_id: str) -> bool:
        try:
            return self._access.may_read(bearer, self._live.get(session_id).session)
        except Refusal:  # not there, or not readable
            return False

    def counts(self) -> dict[str, int]:
        """How many tests there are of each status, in all sessions; raises an outage where nothing could be written."""
        with self._store.begin() as conn:
            return self._store.counts(conn)

    def _readable(self, bearer: str | None, session_id: str) -> LiveSession:
        """What is submitted is published: from then on everyone may read how it came about."""
        live = self._live.get(session_id)
        if live.submission is None:
            self._access.require_reader(bearer, live.session)
        return live
