"""What can be read of a session, of its tests and of a result, and by whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from env.lifecycle.loop import Lifecycle
from env.lifecycle.progress import Progress
from env.service.access import Access
from env.service.answers import progress_view, session_view, test_view, trajectory_view
from env.service.history import STEPS_PER_PAGE, History, HistoryPage
from env.service.live import LiveSession, LiveSessions
from env.service.refusals import unknown_result, unknown_test
from env.service.stored_results import result_view
from env.store.confirmations import confirmations
from env.store.keys import key_of_probe
from env.store.model import Status
from env.store.snapshots import Snapshots
from env.store.store import Store
from env.store.unfinished import ahead
from leaderboard import reading as leaderboard
from leaderboard.comparing import comparison_of
from ringfence.api.refusal import Kind, Refusal
from ringfence.api.results import StoredResult
from ringfence.api.sessions import ProgressView, SessionView, TestView, TrajectoryView
from runner.metrics import TrainMetrics

MANY_POINTS = 500
MUCH_REPORTED = 40_000
"""Of the stored losses of a test, in characters: about as many."""


@dataclass(frozen=True, kw_only=True)
class News:
    """What there is to tell of a test to those who have heard of it before."""

    status: str
    over: bool
    progress: ProgressView
    """With no loss but the last."""
    points: Sequence[TrainMetrics]
    """The losses that are new."""


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
        self._history = History(store, snapshots)

    def session(self, bearer: str | None, session_id: str) -> SessionView:
        live = self._readable(bearer, session_id)
        with self._store.read() as conn:
            tests = self._store.tests(conn, session_id)
            if live.submission is None:
                return session_view(live, tests, (), None)
            run_key = f"{session_id}-{live.submission.test}"
            return session_view(live, tests, confirmations(conn, run_key), comparison_of(conn, run_key))

    def test(self, bearer: str | None, session_id: str, n: int) -> TestView:
        session = self._readable(bearer, session_id).session
        with self._store.read() as conn:
            test = self._store.test(conn, session_id, n)
            before = ahead(conn, session_id, n) if test is not None and test.status is Status.QUEUED else None
        if test is None:
            raise unknown_test(session_id, n)
        # The supervisor of a test lives a moment longer than the test: what is over shows no progress of its own.
        live = None if test.status.final else self._lifecycle.progress(session_id, n)
        return test_view(session, test, live, before)

    def tests(self, bearer: str | None, session_id: str) -> list[int]:
        """The keys of the session's tests and probes, in the order they were bought."""
        self._readable(bearer, session_id)
        with self._store.read() as conn:
            return self._store.test_keys(conn, session_id)

    async def test_aside(self, bearer: str | None, session_id: str, n: int) -> TestView:
        """The same as `test`; one that has reported many losses is read beside the service's own thread."""
        self._readable(bearer, session_id)
        live = self._lifecycle.progress(session_id, n)
        with self._store.read() as conn:
            many = self._store.reported(conn, session_id, n) > MUCH_REPORTED
        if not many and (live is None or len(live.series) <= MANY_POINTS):
            return self.test(bearer, session_id, n)
        read = self._history.test
        return await self._snapshots.beside(read, session_id, n, None if live is None else live.copy())

    def news(self, bearer: str | None, session_id: str, n: int, shown: int = 0, most: int = 0) -> News:
        """How far a test is, and its losses but for the first `shown`, at most `most`: that is what it costs."""
        self._readable(bearer, session_id)
        with self._store.read() as conn:
            status = self._store.status(conn, session_id, n)
        if status is None:
            raise unknown_test(session_id, n)
        live = None if status.final else self._lifecycle.progress(session_id, n)
        return News(
            status=status.value,
            over=status.final,
            progress=_standing(live),
            points=() if live is None else live.points(shown, most),
        )

    def history_page(self, bearer: str | None, session_id: str, page: int) -> HistoryPage:
        """What there is to say of a session to whoever reads one page of its history; refuses pages that it has not."""
        view = self.session(bearer, session_id)
        pages = max(1, -(-view.steps // STEPS_PER_PAGE))
        if page > pages:
            raise Refusal(Kind.NOT_FOUND, "unknown_page", f"The trajectory has {pages} page(s), not {page}.")
        bought = {test.n: test for test in view.tests} | {key_of_probe(probe.n): probe for probe in view.probes}
        running = {
            key: _standing(self._lifecycle.progress(session_id, key))
            for key, test in bought.items()
            if test.ended_at is None
        }
        return HistoryPage(view=view, running=running, page=page, pages=pages)

    def trajectory(self, bearer: str | None, session_id: str) -> tuple[TrajectoryView, int]:
        """The trajectory without its steps, and how many of them there are."""
        live = self._readable(bearer, session_id)
        return trajectory_view(live), live.seq

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
        """What is submitted is published, as is what confirms it: everyone may read how it came about."""
        live = self._live.get(session_id)
        if live.submission is None and live.session.confirms is None:
            self._access.require_reader(bearer, live.session)
        return live


def _standing(live: Progress | None) -> ProgressView:
    """How far a test is that is not over, with no loss but the last."""
    return progress_view(live, () if live is None else live.points(live.count - 1, 1))
