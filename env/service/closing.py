"""Sessions whose agents left: the best result there is gets submitted for them, and they are closed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine

from env.lifecycle import feedback
from env.service.live import LiveSessions
from env.store.idle import Idle, idle_sessions
from env.store.model import Ending, Status, Step, Submission, Test
from env.store.store import Store
from leaderboard import writing as leaderboard
from leaderboard.naming import ranking_column

log = logging.getLogger("ringfence.service")

LOOK_S = 60.0


@dataclass(frozen=True)
class Patience:
    """How long a session may go without a call. While a test of it waits or runs, it may."""

    abandoned: timedelta = timedelta(hours=24)
    spent: timedelta = timedelta(hours=1)
    """Once nothing but a submission is left to do."""


DEFAULT_PATIENCE = Patience()


class Closing:
    def __init__(
        self,
        engine: Engine,
        store: Store,
        live: LiveSessions,
        clock: Callable[[], datetime],
        patience: Patience,
    ) -> None:
        self._engine = engine
        self._store = store
        self._live = live
        self._clock = clock
        self._patience = patience
        self._started = clock()

    async def run(self) -> None:
        """Looks now and then, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                self.look()
            except Exception:
                log.exception("sessions without an agent cannot be closed")

    def look(self) -> int:
        """Close every session that is due; how many there were."""
        now, patience = self._clock(), self._patience
        shortest = min(patience.spent, patience.abandoned)
        if now - self._started < shortest:
            return 0  # the service was away: so its agents could not call
        with self._engine.begin() as conn:
            idle = idle_sessions(conn, now - shortest)
        return sum(self._close_if_due(one, now) for one in idle)

    def _close_if_due(self, idle: Idle, now: datetime) -> bool:
        waited = now - idle.since
        live = self._live.get(idle.session_id)
        budget = live.session.task.budget
        nothing_left = idle.spent >= budget.tests or 0 < budget.steps <= live.seq
        if waited >= self._patience.abandoned:
            why = f"no call came for {_in_words(self._patience.abandoned)}"
        elif nothing_left and waited >= self._patience.spent:
            why = f"the budget was spent and nothing was submitted for {_in_words(self._patience.spent)}"
        else:
            return False
        self._close(idle.session_id, Ending(now, why))
        return True

    def _close(self, session_id: str, ending: Ending) -> None:
        """One transaction: the last step, the submission if there is something to submit, and the end."""
        live = self._live.get(session_id)
        with self._engine.begin() as conn:
            test = best(self._store.tests(conn, session_id))
            submission = None if test is None else Submission(test.n, ending.at)
            step = Step(
                seq=live.seq + 1,
                tool="auto_submit" if test else "close",
                input={} if test is None else {"n": test.n},
                ok=True,
                observation=feedback.submitted_for(test, ending.reason) if test else feedback.closed(ending.reason),
                at=ending.at,
                test=None if test is None else test.n,
            )
            self._store.add_step(conn, session_id, step)
            self._store.close(conn, session_id, ending)
            if test is not None and submission is not None:
                self._store.submit(conn, session_id, submission)
                leaderboard.submit(conn, session_id, test.run_key, ending.at, auto=True)
        live.advance(step, None)
        live.submission, live.ending = submission, ending


def best(tests: list[Test]) -> Test | None:
    """Of those that succeeded, the one with the lowest first validation loss, else the last; None if none did."""
    succeeded = [test for test in tests if test.status is Status.SUCCEEDED]
    measured = [(loss, test.n, test) for test in succeeded if (loss := _loss(test)) is not None]
    if measured:
        return min(measured, key=lambda one: one[:2])[2]
    return succeeded[-1] if succeeded else None


def _loss(test: Test) -> float | None:
    """What results are ranked by."""
    metrics, _ = feedback.flat_metrics(test)
    column = ranking_column(metrics)
    return None if column is None else metrics[column]


def _in_words(time: timedelta) -> str:
    minutes = time.total_seconds() / 60
    return f"{minutes / 60:g} h" if minutes >= 60 else f"{minutes:g} min"
