"""Sessions whose agents left: the best result there is gets submitted for them, and they are closed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from env.lifecycle import feedback
from env.service.confirming import Confirming
from env.service.live import LiveSession, LiveSessions
from env.service.repeats import KEPT
from env.service.served import TICK_S, ServedTime
from env.store.budget import tests_left
from env.store.kept_answers import forget_answers
from env.store.model import Ending, Step, Submission
from env.store.outage import OUTAGES, Loop
from env.store.silence import Idle, silent
from env.store.store import Store
from env.store.unfinished import stop_unfinished
from leaderboard import writing as leaderboard
from leaderboard.comparing import comparison_of
from leaderboard.comparison import headline
from leaderboard.overview import best_of_session
from ringfence.api.refusal import Kind, Refusal

log = logging.getLogger("ringfence.service")

LOOK_S = 60.0


@dataclass(frozen=True, kw_only=True)
class SessionPatience:
    """How long a session may go without a call, in time for which the service was there to be called. While a test of
    it waits or runs, it may go on for ever.
    """

    abandoned: timedelta = timedelta(hours=24)
    """While there is something left to try."""
    spent: timedelta = timedelta(hours=1)
    """Once nothing but a submission is left to do."""


DEFAULT_PATIENCE = SessionPatience()


class Closing:
    """Ends sessions that nobody calls any more."""

    def __init__(
        self,
        store: Store,
        live: LiveSessions,
        clock: Callable[[], datetime],
        patience: SessionPatience,
        stop_all: Callable[[str], None],
        served: ServedTime,
        confirming: Confirming | None = None,
    ) -> None:
        """`stop_all` stops the tests of a session; `confirming` has what is submitted run again by policy."""
        self._store = store
        self._live = live
        self._clock = clock
        self._patience = patience
        self._stop_all = stop_all
        self._served = served
        self._confirming = confirming
        self._set_aside: set[str] = set()
        """Sessions that cannot be closed, until a restart."""
        self.loop = Loop("closing sessions", self._round, self._rest, LOOK_S)

    async def _round(self) -> None:
        self.look()

    async def _rest(self) -> None:
        for _ in range(int(LOOK_S / TICK_S)):
            await asyncio.sleep(TICK_S)
            self._served.tick()

    def look(self) -> int:
        """Closes every session that is due, and returns how many there were."""
        # Taken before it is committed: while the database is away, nobody can call either.
        seconds = self._served.take()
        with self._store.begin() as conn:
            forget_answers(conn, self._clock() - KEPT)
            idle = silent(conn, seconds)
        shortest = min(self._patience.spent, self._patience.abandoned).total_seconds()
        due = [one for one in idle if one.silent_s >= shortest and one.session_id not in self._set_aside]
        now = self._clock()
        return sum(self._closed(one, now) for one in due)

    def close_now(self, session_id: str, reason: str) -> None:
        """Closes an open session on an operator's word, and stops what runs of it. Raises Refusal."""
        live = self._live.get(session_id)
        if live.submission is not None or live.ending is not None:
            raise Refusal(Kind.CONFLICT, "session_closed", f"Session {session_id} is closed already.")
        self._close(session_id, Ending(at=self._clock(), reason=reason))
        with contextlib.suppress(*OUTAGES):  # that it is to stop is committed
            self._stop_all(session_id)

    def _closed(self, idle: Idle, now: datetime) -> bool:
        """Whether it was due and is closed now. One that cannot be handled keeps no other from it."""
        try:
            return self._close_if_due(idle, now)
        except OUTAGES:
            raise
        except Exception:
            log.exception("session %s cannot be closed: it is set aside", idle.session_id)
            self._set_aside.add(idle.session_id)
            return False

    def _close_if_due(self, idle: Idle, now: datetime) -> bool:
        waited = timedelta(seconds=idle.silent_s)
        live = self._live.get(idle.session_id)
        if waited >= self._patience.abandoned:
            why = f"no call came for {_in_words(self._patience.abandoned)}"
        elif waited >= self._patience.spent and self._nothing_left(live, idle):
            why = f"the budget was spent and nothing was submitted for {_in_words(self._patience.spent)}"
        else:
            return False
        self._close(idle.session_id, Ending(at=now, reason=why))
        return True

    def _nothing_left(self, live: LiveSession, idle: Idle) -> bool:
        budget = live.session.task.budget
        if 0 < budget.steps <= live.seq:
            return True
        if budget.gpu_hours is None and idle.tests < budget.tests:
            return False  # the usual case: their texts need not be read for it
        with self._store.read() as conn:
            return tests_left(live.session, self._store.tests(conn, idle.session_id)) <= 0

    def _close(self, session_id: str, ending: Ending) -> None:
        """One transaction: the last step, the submission if there is something to submit, and the end."""
        live = self._live.get(session_id)
        with self._store.begin() as conn:
            stop_unfinished(conn, session_id)
            n = best_of_session(conn, session_id)
            test = None if n is None else self._store.test(conn, session_id, n)
            submission = None if test is None else Submission(test=test.n, at=ending.at)
            compared = None if test is None else comparison_of(conn, test.run_key)
            further = self._confirming.planned(conn, live.session, test) if test and self._confirming else []
            standing = feedback.standing(None if compared is None else headline(compared), further)
            step = Step(
                seq=live.seq + 1,
                tool="auto_submit" if test else "close",
                input={} if test is None else {"n": test.n},
                ok=True,
                observation=feedback.submitted_for(test, ending.reason, standing)
                if test
                else feedback.closed(ending.reason),
                at=ending.at,
                test=None if test is None else test.n,
            )
            self._live.drop(session_id)  # read again, with its end, whatever comes of this
            self._store.add_step(conn, session_id, step)
            self._store.close(conn, session_id, ending)
            if test is not None and submission is not None:
                self._store.submit(conn, session_id, submission)
                leaderboard.submit(conn, session_id, test.run_key, ending.at, auto=True)
                if self._confirming is not None:
                    self._confirming.queue(conn, live.session, test, further)


def _in_words(time: timedelta) -> str:
    minutes = time.total_seconds() / 60
    return f"{minutes / 60:g} h" if minutes >= 60 else f"{minutes:g} min"
