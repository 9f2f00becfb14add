"""Time for which the service was there to be called: not that in which it, or its host, was stopped."""

from __future__ import annotations

import time
from collections.abc import Callable

TICK_S = 5.0
LATE_S = 2 * TICK_S
"""What counts of the time between two ticks, at most: a longer one was a stop, and nobody knows when it began."""


class ServedTime:
    """Adds up the time between ticks, which are to come every TICK_S seconds while the service serves."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._last = monotonic()
        self._seconds = 0.0

    def tick(self) -> None:
        now = self._monotonic()
        self._seconds += min(now - self._last, LATE_S)
        self._last = now

    def take(self) -> float:
        """The seconds since this was last asked; they are counted as told, or lost."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds
