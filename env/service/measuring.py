"""Measures the unedited file on this installation's data, because scores wait for it: once there are sessions that
may want them, while nobody needs the devices.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from env.lifecycle.devices import NoDevice
from env.lifecycle.loop import Lifecycle
from env.lifecycle.references import ReferenceFailed
from env.service.scoring import Scoring
from env.store.outage import Loop
from tasks.model import Task

log = logging.getLogger("ringfence.service")

QUIET_S = 2.0
"""Without a test before a measurement begins, and between two of them: whoever waits for devices gets them first."""
REST_S = 10.0
"""Between two looks for something to measure."""
LIMIT_S = 900.0
"""A round that takes longer is stuck: it measures one seed, in half a minute."""


class Measuring:
    """A loop that has nothing to do once every seed is measured, or has failed."""

    def __init__(self, scoring: Scoring, lifecycle: Lifecycle) -> None:
        self._scoring = scoring
        self._lifecycle = lifecycle
        self._failed: set[tuple[str, int]] = set()
        """Scales and seeds."""
        self._was_idle = False
        self.loop = Loop("measuring the unedited file", self._round, self._rest, LIMIT_S)

    async def _round(self) -> None:
        was_idle, self._was_idle = self._was_idle, self._lifecycle.idle
        left = self._left() if was_idle and self._was_idle else []
        if not left:
            return
        task, scale, seed = left[0]
        try:
            with contextlib.suppress(NoDevice):
                await self._lifecycle.make_reference(task, task.scales[scale], seed)
                self._scoring.refresh()
        except ReferenceFailed as failure:
            log.warning("scores at scale %s wait for the unedited file at seed %s: %s", scale, seed, failure)
            self._failed.add((scale, seed))

    def _left(self) -> list[tuple[Task, str, int]]:
        return [one for one in self._scoring.unmeasured() if one[1:] not in self._failed]

    async def _rest(self) -> None:
        await asyncio.sleep(QUIET_S if self._left() else REST_S)
