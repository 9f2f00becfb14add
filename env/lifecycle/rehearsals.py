"""The free check: one run beside all tests, of which nothing is kept."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from env.lifecycle.attempts import Attempts
from env.lifecycle.fair_queue import FairQueue
from env.lifecycle.findings import Rehearsed, read_rehearsal
from env.lifecycle.plan import rehearsal
from env.lifecycle.progress import Progress
from env.lifecycle.turns import Turns, ask
from env.store.model import Session
from runner.inside.findings import REPORT, Part
from runner.protocol import ExitReason, Runner, RunnerError, RunSpec
from tasks.model import Scale

CORES_EACH = 2
"""Of the host's, for a rehearsal: it has two processes."""
LEAST_AT_ONCE = 2
_LIMITS = (ExitReason.DEADLINE, ExitReason.MEMORY, ExitReason.LIMIT)


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """How a rehearsal came out."""

    rehearsed: Rehearsed | None
    """None where it left no valid report."""
    why_none: str = ""
    """Why there is no report, in words of ours."""
    ours: bool = False
    """Whether that is our own failure."""
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        return self.rehearsed is not None and self.rehearsed.passed


class Rehearsals:
    """Runs rehearsals, as many at a time as the host's cores allow; agents take turns."""

    def __init__(self, runner: Runner, tidied: Callable[[], Awaitable[None]], turns: Turns | None = None) -> None:
        """`tidied` waits until nothing of the service's last life is removed any more."""
        self._tidied = tidied
        self._runner = runner
        self._attempts = Attempts(runner, turns)
        self._queue = FairQueue(max(LEAST_AT_ONCE, len(os.sched_getaffinity(0)) // CORES_EACH))

    async def rehearse(
        self,
        session: Session,
        number: int,
        files: Mapping[str, str],
        parts: Sequence[Part] = tuple(Part),
        scale: Scale | None = None,
    ) -> Rehearsal:
        """How the rehearsal of `files` came out; `number` tells it from the session's others. `scale` is the session's
        own where none is given.
        """
        assert session.scale is not None
        wanted = rehearsal(session.task, scale or session.size, session.id, number, files, parts)
        # A check that is repeated after a restart has the name of the one that was under way.
        await self._tidied()
        async with self._queue.place(session.agent):
            over = await rehearse(self._attempts, self._runner, wanted)
        await self._attempts.remove(wanted.run_id)
        return over


async def rehearse(attempts: Attempts, runner: Runner, wanted: RunSpec) -> Rehearsal:
    """Runs one rehearsal. One that came to an end has been had, however it ended: its program runs beside the agent's
    code, which can make it fail and write its report. Only what its host says is evidence of our own failure.
    """
    ended = await attempts.take(wanted, Progress(None), lambda: None, evaluates=False, brief=True)
    seconds, left = ended.state.elapsed_s or 0.0, ended.state.exit
    if left is None or left.reason in (ExitReason.LOST, ExitReason.CANCELLED):
        return Rehearsal(rehearsed=None, why_none=ended.judged.reason, ours=True, seconds=seconds)
    if left.reason in _LIMITS:
        return Rehearsal(rehearsed=None, why_none=left.in_words(), seconds=seconds)
    raw = None
    with suppress(RunnerError):
        raw = await ask(runner.collect, wanted.run_id, REPORT)
    read = read_rehearsal(raw) if left.code == 0 else None
    why_none = "" if read else "the rehearsal left no valid report"
    return Rehearsal(rehearsed=read, why_none=why_none, seconds=seconds)
