"""What can be read of a session, of its tests and of a result, and by whom."""

from __future__ import annotations

from env.api.results import StoredResult
from env.api.sessions import SessionView, TestView, TrajectoryView
from env.lifecycle.loop import Lifecycle
from env.service.access import Access
from env.service.answers import result_view, session_view, test_view, trajectory_view
from env.service.live import LiveSession, LiveSessions
from env.service.refusals import unknown_result, unknown_test
from env.store.store import Store
from leaderboard import reading as leaderboard


class Views:
    """Every call raises Refusal for whom the session is not open to, and for what does not exist."""

    def __init__(self, store: Store, live: LiveSessions, lifecycle: Lifecycle, access: Access) -> None:
        self._store = store
        self._live = live
        self._lifecycle = lifecycle
        self._access = access

    def session(self, bearer: str | None, session_id: str) -> SessionView:
        live = self._readable(bearer, session_id)
        with self._store.begin() as conn:
            return session_view(live, self._store.tests(conn, session_id))

    def test(self, bearer: str | None, session_id: str, n: int) -> TestView:
        self._readable(bearer, session_id)
        with self._store.begin() as conn:
            test = self._store.test(conn, session_id, n)
        if test is None:
            raise unknown_test(session_id, n)
        # The supervisor of a test lives a moment longer than the test: what is over shows no progress of its own.
        return test_view(test, None if test.status.final else self._lifecycle.progress(session_id, n))

    def trajectory(self, bearer: str | None, session_id: str) -> TrajectoryView:
        live = self._readable(bearer, session_id)
        with self._store.begin() as conn:
            steps, tests = self._store.steps(conn, session_id), self._store.tests(conn, session_id)
        return trajectory_view(live, steps, tests)

    def result(self, bearer: str | None, run_key: str) -> StoredResult:
        """A row of a leaderboard, whole. Its code is its agent's affair until the session is over."""
        with self._store.begin() as conn:
            entry = leaderboard.entry(conn, run_key)
            if entry is None:
                raise unknown_result(run_key)
            session = self._store.session(conn, entry.result.session_id)
        with_code = entry.session_over or (session is not None and self._access.may_read(bearer, session))
        return result_view(entry, with_code=with_code)

    def counts(self) -> dict[str, int]:
        """How many tests there are of each status, in all sessions."""
        with self._store.begin() as conn:
            return self._store.counts(conn)

    def _readable(self, bearer: str | None, session_id: str) -> LiveSession:
        """What is submitted is published: from then on everyone may read how it came about."""
        live = self._live.get(session_id)
        if live.submission is None:
            self._access.require_reader(bearer, live.session)
        return live
