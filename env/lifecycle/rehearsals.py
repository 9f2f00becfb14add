"""The free check: one run beside all tests, of which nothing is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from env.lifecycle.attempts import Attempts, Ended
from env.lifecycle.plan import rehearsal
from env.lifecycle.progress import Progress
from env.store.model import Session
from runner.protocol import Runner

AT_ONCE = 2
"""On the host's CPUs."""


class Rehearsals:
    """Runs rehearsals, a few at a time."""

    def __init__(self, runner: Runner, tidied: Callable[[], Awaitable[None]]) -> None:
        """`tidied` waits until nothing of the service's last life is removed any more."""
        self._tidied = tidied
        self._attempts = Attempts(runner)
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def rehearse(self, session: Session, number: int, files: Mapping[str, str]) -> Ended:
        """How the rehearsal of `files` came out; `number` tells it from the session's others."""
        assert session.scale is not None
        wanted = rehearsal(session.task, session.size, session.id, number, files)
        # A check that is repeated after a restart has the name of the one that was under way.
        await self._tidied()
        async with self._slots:
            ended = await self._attempts.take(wanted, Progress(None), lambda: None, evaluates=True)
        await self._attempts.remove(wanted.run_id)
        return ended
