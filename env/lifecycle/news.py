"""News of tests, and how others wait for it."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from env.store.store import Store


class Pulse:
    """Wakes everyone who waits, each time it beats."""

    def __init__(self) -> None:
        self._next: asyncio.Future[None] | None = None

    def beat(self) -> None:
        waiting, self._next = self._next, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    async def wait(self, seconds: float) -> bool:
        """True at the next beat, False when `seconds` pass without one."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        done, _ = await asyncio.wait([self._next], timeout=max(seconds, 0))
        return bool(done)


class TestNews:
    """Wakes those who wait for a test. Whoever takes tests on their way says when there is news."""

    __test__ = False  # not a test case, whatever pytest makes of the name

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pulses: defaultdict[tuple[str, int], Pulse] = defaultdict(Pulse)
        self._stopping = False

    @property
    def stopping(self) -> bool:
        """Whether the service is about to leave, so that nobody gets news any more."""
        return self._stopping

    def dismiss(self) -> None:
        """Ends everyone's waiting for news. The runs go on, to be taken up by the next start."""
        self._stopping = True
        for pulse in self._pulses.values():
            pulse.beat()

    async def wait(self, session_id: str, n: int, seconds: float) -> None:
        """Waits until the test is final, or `seconds` have passed."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while (left := deadline - loop.time()) > 0 and await self.changed(session_id, n, left):
            pass

    async def changed(self, session_id: str, n: int, seconds: float) -> bool:
        """Waits for news of the test: True when there is, False when it is final or `seconds` have passed."""
        if self._stopping:
            return False
        with self._store.read() as conn:
            status = self._store.status(conn, session_id, n)
        if status is None or status.final:
            return False
        return await self._pulses[session_id, n].wait(seconds)

    def beat(self, key: tuple[str, int]) -> None:
        """There is news of the test with this session and number."""
        self._pulses[key].beat()

    def last_beat(self, key: tuple[str, int]) -> None:
        """There is news of it, and there will be no more."""
        self._pulses.pop(key, Pulse()).beat()
