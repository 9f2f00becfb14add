"""Every wait in a test has an end, however busy the machine: what is waited for in vain fails the test."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager


class Deadline:
    """Ends a loop that nothing else ends: `check` is called in each round and fails once the time is over."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._last = time.monotonic() + patience_s

    @property
    def over(self) -> bool:
        return time.monotonic() >= self._last

    def check(self, what: str = "") -> None:
        assert not self.over, f"waited {self._patience_s:g} s in vain {what}"


def until(
    holds: Callable[[], object], patience_s: float = 60, pause_s: float = 0.01, told: Callable[[], str] = str
) -> None:
    """Waits until something holds. What `told` returns is said if it never does."""
    deadline = Deadline(patience_s)
    while not holds():
        assert not deadline.over, f"waited {patience_s:g} s in vain. {told()}"
        time.sleep(pause_s)


@contextmanager
def threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """A pool whose threads are not waited for when the test has failed; what they do has to end by itself."""
    pool = ThreadPoolExecutor(count)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()
