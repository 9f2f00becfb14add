"""How often one caller may call: allowances that fill up again with time."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

BURST_S = 10
"""An allowance holds what so many seconds bring."""
MAX_CALLERS = 10_000
"""Whose allowances are remembered; that of the one who has been away the longest is full again."""


@dataclass(frozen=True, kw_only=True)
class RateLimits:
    """Calls per second that are allowed in the long run, ten times as many at once; 0 for any number."""

    per_session: float = 50.0
    """Calls that show the same secret, which is a session's token."""
    per_address: float = 200.0
    """Calls from the same address."""
    connections: int = 500
    """Open at once from the same address; 0 for any number."""
    on_loopback: bool = False
    """Whether calls from this host itself are counted as well."""


DEFAULT_RATES = RateLimits()


class Connections:
    """How many connections each address has open."""

    def __init__(self, most: int, is_free: Callable[[str], bool]) -> None:
        """0 sets no limit, and for whom `is_free` says so there is none either."""
        self._most = most
        self._is_free = is_free
        self._open: Counter[str] = Counter()

    def opened(self, address: str) -> None:
        self._open[address] += 1

    def closed(self, address: str) -> None:
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]

    def excess(self, address: str) -> float:
        """How many times its limit an address has open: above 1, it has too many."""
        count = self._open[address]
        return 0.0 if not self._most or count <= self._most or self._is_free(address) else count / self._most


class Allowances:
    """Of many callers, so much a second for each."""

    def __init__(self, per_second: float, clock: Callable[[], float]) -> None:
        """`clock` gives seconds that never go back; a rate of 0 sets no limit."""
        self._per_second = per_second
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """What a caller had left, and when."""

    def take(self, caller: str) -> float:
        """Takes one call. 0 if it is allowed; otherwise nothing is taken, and it will be in so many seconds."""
        if not self._per_second:
            return 0.0
        now, most = self._clock(), max(1.0, BURST_S * self._per_second)
        left, since = self._left.get(caller, (most, now))
        left = min(most, left + (now - since) * self._per_second)
        allowed = left >= 1
        self._left[caller] = (left - allowed, now)
        self._left.move_to_end(caller)
        if len(self._left) > MAX_CALLERS:
            self._left.popitem(last=False)
        return 0.0 if allowed else math.ceil((1 - left) / self._per_second * 1000) / 1000
