"""The free check: one run beside all tests, of which nothing is kept."""

from __future__ import annotations

import math
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from env.lifecycle.attempts import Attempts, Ended
from env.lifecycle.fair_queue import FairQueue
from env.lifecycle.judgement import Judgement
from env.lifecycle.plan import rehearsal
from env.lifecycle.progress import Progress
from env.lifecycle.turns import Turns
from env.store.model import Session, Status
from runner.protocol import ExitReason, Runner

CORES_EACH = 2
"""Of the host's, for a rehearsal: it has two processes."""
LEAST_AT_ONCE = 2
_REPORTED = ("parameters", "first_loss", "last_loss")


class Rehearsals:
    """Runs rehearsals, as many at a time as the host's cores allow; agents take turns."""

    def __init__(self, runner: Runner, tidied: Callable[[], Awaitable[None]], turns: Turns | None = None) -> None:
        """`tidied` waits until nothing of the service's last life is removed any more."""
        self._tidied = tidied
        self._attempts = Attempts(runner, turns)
        self._queue = FairQueue(max(LEAST_AT_ONCE, len(os.sched_getaffinity(0)) // CORES_EACH))

    async def rehearse(self, session: Session, number: int, files: Mapping[str, str]) -> Ended:
        """How the rehearsal of `files` came out; `number` tells it from the session's others."""
        assert session.scale is not None
        wanted = rehearsal(session.task, session.size, session.id, number, files)
        # A check that is repeated after a restart has the name of the one that was under way.
        await self._tidied()
        async with self._queue.place(session.agent):
            ended = await self._attempts.take(wanted, Progress(None), lambda: None, evaluates=True, brief=True)
        await self._attempts.remove(wanted.run_id)
        return judged_as_had(ended)


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
