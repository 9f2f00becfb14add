"""How far a long preparation has come, for whoever watches it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

Meter = Callable[[int], None]
"""Takes how much is done by now, of the total the bar began with."""


class ProgressDisplay(Protocol):
    """Shows an operator how far a preparation has come."""

    def bar(self, what: str, total: int | None) -> AbstractContextManager[Meter]:
        """Show one piece of work of `total` bytes, as many as there may be if None, until the context is left."""

    def say(self, line: str) -> None:
        """Show a line of its own."""
