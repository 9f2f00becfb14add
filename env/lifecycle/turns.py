"""Who runs beside whom: while a scorer lives, nobody else's code runs on the host, unless the operator allows it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from env.lifecycle.plan import owner
from runner.protocol import Phase, Runner, RunnerError, RunSpec

log = logging.getLogger("ringfence.lifecycle")
T = TypeVar("T")


class Turns:
    """The turns of one host's runs, first come, first served.

    A run with workers, an evaluation, has a turn of its own from its start to its end: trainings are frozen meanwhile,
    brief runs are let end before, and whoever wants to start waits. Turns outlive the service: what is frozen when it
    dies stays so until its next life takes it up.
    """

    def __init__(self, runner: Runner, *, apart: bool) -> None:
        """Without `apart` everybody starts at once and nobody is frozen."""
        self._runner = runner
        self._apart = apart
        self._turn = asyncio.Lock()
        self._brief = 0
        self._no_brief = asyncio.Event()
        self._no_brief.set()

    async def take_up(self) -> set[tuple[str, int]]:
        """Session and number of every test of which a run goes on, left by an earlier life of the service: to be
        submitted again before any other is. Until then they are frozen. Raises RunnerError if they cannot be listed.
        """
        found = set()
        for name in await ask(self._runner.run_ids):
            try:
                goes_on = (await ask(self._runner.poll, name)).phase is Phase.RUNNING
            except RunnerError:
                goes_on = True  # whoever follows it will see
            if goes_on:
                found.add(owner(name))
                if self._apart:
                    await self._freeze(name)
        return found

    @asynccontextmanager
    async def submitted(self, wanted: RunSpec, *, brief: bool) -> AsyncIterator[None]:
        """Submits a run when it may start; inside, it goes on. A `brief` run is waited for rather than frozen.

        Raises RunnerError.
        """
        if not self._apart:
            await self._start(wanted)
            yield
        elif wanted.workers:
            async with self._turn:
                await self._no_brief.wait()
                frozen = await self._freeze_others(wanted.run_id)
                try:
                    await self._start(wanted)
                    yield
                except asyncio.CancelledError:
                    raise  # the service leaves, the evaluation goes on
                except BaseException:
                    await self._thaw(frozen)
                    raise
                await self._thaw(frozen)
        elif brief:
            async with self._turn:
                await self._start(wanted)
                self._count_brief(1)
            try:
                yield
            finally:
                self._count_brief(-1)
        else:
            async with self._turn:
                await self._start(wanted)
            yield

    async def _start(self, wanted: RunSpec) -> None:
        await ask(self._runner.submit, wanted)
        await ask(self._runner.resume, wanted.run_id)  # which an earlier life of the service may have frozen

    async def _freeze_others(self, name: str) -> list[str]:
        others = [other for other in await ask(self._runner.run_ids) if other != name]
        await asyncio.gather(*map(self._freeze, others))
        return others

    async def _freeze(self, name: str) -> None:
        try:
            await ask(self._runner.pause, name)
        except RunnerError:
            # Of two evils the lesser: the other is that a run that cannot be frozen keeps everybody waiting.
            log.exception("run %s goes on beside an evaluation", name)

    async def _thaw(self, names: list[str]) -> None:
        for name in names:
            try:
                await ask(self._runner.resume, name)
            except RunnerError:
                log.exception("run %s may stay frozen until the next evaluation is over", name)

    def _count_brief(self, change: int) -> None:
        self._brief += change
        if self._brief:
            self._no_brief.clear()
        else:
            self._no_brief.set()


async def ask(call: Callable[..., T], *arguments: object) -> T:
    """Calls the runner in a thread of its own: it may block on a disk or an engine, which the service must not."""
    return await asyncio.to_thread(call, *arguments)
