"""Devices on their way back from tests that are over to the pool that they came from."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from env.lifecycle.turns import ask
from runner.pool import Host, Pool

log = logging.getLogger("ringfence.lifecycle")

IDLE_S = 60.0
"""How long a GPU may take to lose the last process of a run that is over, before it is taken out of service."""
LOOK_S = 0.2
PATIENT_LOOK_S = 5.0
"""The same where it may take for ever."""


class NoDevice(Exception):
    """So many devices are not free at the moment."""


class DeviceReturns:
    """Gives devices back. The host has the last word: one with a process on it goes to nobody."""

    def __init__(self, host: Host, returned: Callable[[], None]) -> None:
        """`returned` is called whenever a device can be had again."""
        self._host = host
        self._returned = returned
        self._tasks: set[asyncio.Task[None]] = set()

    async def give_back(self, pool: Pool, devices: Iterable[str], patience_s: float = IDLE_S) -> None:
        """Puts leased devices back into their pool, each as soon as it is idle."""
        await asyncio.gather(*(self._give_back(pool, device, patience_s) for device in devices))

    @asynccontextmanager
    async def lent(self, pool: Pool, count: int) -> AsyncIterator[tuple[str, ...]]:
        """So many devices of a pool while the block runs. Raises NoDevice where they are not free."""
        devices = pool.lease(count)
        if devices is None:
            raise NoDevice(f"this host has no {count} free devices for it")
        try:
            yield devices
        finally:
            await self.give_back(pool, devices)

    def keep_off(self, devices: Iterable[str]) -> None:
        """Takes devices that a run which nobody follows may still be on; they come back when that is gone."""
        held = set(devices)
        for pool in {self._host.slots, self._host.gpus}:
            ids = [device.id for device in pool.devices if device.id in held]
            pool.adopt(ids)
            task = asyncio.create_task(self.give_back(pool, ids, math.inf))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def avoid_foreign(self, held: Iterable[str]) -> None:
        """Takes free GPUs that somebody's process is on, until it is gone. `held` are those of our own tests."""
        if self._host.gpus is self._host.slots:
            return
        ours = set(held)
        for device in self._host.gpus.free_ids:
            if device not in ours and await self._busy(device) and device in self._host.gpus.free_ids:
                log.warning("a process that is no test's is on GPU %s: no test gets it until that is gone", device)
                self.keep_off([device])

    async def _give_back(self, pool: Pool, device: str, patience_s: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience_s
        while await self._busy(device):
            if loop.time() > deadline:
                log.error("device %s is not free after its run is over: out of service until a restart", device)
                return
            await asyncio.sleep(LOOK_S if math.isfinite(patience_s) else PATIENT_LOOK_S)
        pool.give_back([device])
        self._returned()

    async def _busy(self, device: str) -> bool:
        try:
            return await ask(self._host.busy, device)
        except Exception:
            log.exception("it cannot be told whether device %s is free", device)
            return True
