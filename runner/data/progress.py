"""How far a long preparation has come, for whoever watches it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

Meter = Callable[[int], None]
"""Takes how much is done by now, of the total the bar began with."""


class ProgressDisplay(Protocol):
    def bar(self, what: str, total: int | None) -> AbstractContextManager[Meter]:
        """One piece of work of `total` bytes, unknown if None."""

    def say(self, line: str) -> None:
        """Something worth a line of its own."""
