"""A few places for many: those who wait take turns by whom they belong to."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class FairQueue:
    """Nobody's many or slow ones keep others waiting: a free place goes to whoever holds the fewest, among equals to
    whoever has not had one for longest. Nobody holds the last place beside others of their own.
    """

    def __init__(self, places: int) -> None:
        assert places > 0
        self._places = places
        self._most = max(1, places - 1)
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """Those whose turn is next come first."""

    @asynccontextmanager
    async def place(self, owner: str) -> AsyncIterator[None]:
        """A place for as long as the context lasts."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(turn)
        self._hand_out()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave(owner)
            raise
        try:
            yield
        finally:
            self._leave(owner)

    def _leave(self, owner: str) -> None:
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]
        self._hand_out()

    def _hand_out(self) -> None:
        while self._held.total() < self._places:
            able = [owner for owner in self._waiting if self._held[owner] < self._most]
            if not able:
                return
            owner = min(able, key=lambda one: self._held[one])  # the first of several
            turns = self._waiting.pop(owner)
            turn = turns.popleft()
            if turns:
                self._waiting[owner] = turns
            if not turn.cancelled():
                self._held[owner] += 1
                turn.set_result(None)
