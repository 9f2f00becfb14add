"""The free check: one run beside all tests, of which nothing is kept."""

from __future__ import annotations

import asyncio
import math
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

from env.lifecycle.attempts import Attempts, Ended
from env.lifecycle.judgement import Judgement
from env.lifecycle.plan import rehearsal
from env.lifecycle.progress import Progress
from env.lifecycle.turns import Turns
from env.store.model import Session, Status
from runner.protocol import ExitReason, Runner

AT_ONCE = 2
"""On the host's CPUs."""
_REPORTED = ("parameters", "first_loss", "last_loss")


class Rehearsals:
    """Runs rehearsals, a few at a time and one for each agent: nobody's many or slow ones keep others waiting."""

    def __init__(self, runner: Runner, tidied: Callable[[], Awaitable[None]], turns: Turns | None = None) -> None:
        """`tidied` waits until nothing of the service's last life is removed any more."""
        self._tidied = tidied
        self._attempts = Attempts(runner, turns)
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._waiting: Counter[str] = Counter()

    async def rehearse(self, session: Session, number: int, files: Mapping[str, str]) -> Ended:
        """How the rehearsal of `files` came out; `number` tells it from the session's others."""
        assert session.scale is not None
        wanted = rehearsal(session.task, session.size, session.id, number, files)
        # A check that is repeated after a restart has the name of the one that was under way.
        await self._tidied()
        # First the agent's own turn: whoever has waited longest for a slot is another agent each time.
        async with self._turn(session.agent), self._slots:
            ended = await self._attempts.take(wanted, Progress(None), lambda: None, evaluates=True, brief=True)
        await self._attempts.remove(wanted.run_id)
        return judged_as_had(ended)

    @asynccontextmanager
    async def _turn(self, agent: str) -> AsyncIterator[None]:
        self._waiting[agent] += 1
        try:
            async with self._turns[agent]:
                yield
        finally:
            self._waiting[agent] -= 1
            if not self._waiting[agent]:
                del self._waiting[agent], self._turns[agent]


def judged_as_had(ended: Ended) -> Ended:
    """A rehearsal that came to an end has been had, however it ended: its program runs beside the agent's code, which
    can make it fail and write its report. Only what its host says is evidence of our own failure.
    """
    exited = ended.state.exit is not None and ended.state.exit.reason is ExitReason.EXITED
    judged = ended.judged
    valid = all(math.isfinite(judged.metrics.get(name, math.nan)) for name in _REPORTED)
    if (judged.status is Status.INFRA_FAILED and exited) or (judged.status is Status.SUCCEEDED and not valid):
        return replace(ended, judged=Judgement(Status.FAILED, "the rehearsal left no valid report"))
    return ended
