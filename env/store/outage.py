"""The database out of reach: what that raises, and how the service's own work goes on until it is back."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable
from itertools import count
from typing import TypeVar

from sqlalchemy.exc import InterfaceError, InternalError, OperationalError

log = logging.getLogger("ringfence.store")
T = TypeVar("T")

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0


class NotOwner(Exception):
    """The database is another process's, or it cannot be told any more whose it is; the message says so in one line."""


class ReaderAway(Exception):
    """The process of long reads is not there, or the database is not there for it; the message says so in one line."""


OUTAGES: tuple[type[Exception], ...] = (
    OperationalError,
    InterfaceError,
    InternalError,
    sqlite3.OperationalError,
    NotOwner,
    ReaderAway,
)
"""What a transaction raises, whatever it was to do, while the database is locked, away or not ours. Nothing of it is
committed, but for one case: when the connection breaks off during a commit, it may have been."""


def said(error: Exception) -> str:
    """What the database said, in one line."""
    return (str(getattr(error, "orig", None) or error).strip() or type(error).__name__).partition("\n")[0]


async def until_committed(what: str, write: Callable[[], T]) -> T:
    """Calls `write`, a whole transaction, again and again until no outage stops it; `what` names it in the log.

    `write` has to know what an attempt before it has committed after all. Other exceptions of it are raised.
    """
    began = time.monotonic()
    for failures in count():
        try:
            done = write()
        except OUTAGES as error:
            log.warning("%s is held until the database takes it: %s", what, said(error))
            await asyncio.sleep(pause_s(failures))
        else:
            if failures:
                log.warning("%s was committed after %.1f s", what, time.monotonic() - began)
            return done
    raise AssertionError


def pause_s(failures: int) -> float:
    """Seconds to wait after so many failures before the last one: longer and longer, up to LONGEST_PAUSE_S."""
    return min(FIRST_PAUSE_S * 2.0 ** min(failures, 20), LONGEST_PAUSE_S)


class Loop:
    """Rounds that are made for as long as the service lives, whatever happens in one of them."""

    def __init__(
        self,
        name: str,
        make_round: Callable[[], Awaitable[object]],
        rest: Callable[[], Awaitable[object]],
        limit_s: float,
    ) -> None:
        """`rest` waits after a round that went well; one that takes longer than `limit_s` counts as stuck."""
        self._name = name
        self._round = make_round
        self._rest = rest
        self._limit_s = limit_s
        self._began: float | None = None
        """When the round under way began; None in between."""
        self._failure: str | None = None
        """Of the last round."""
        self._running = False

    @property
    def running(self) -> bool:
        """Whether rounds are being made at all."""
        return self._running

    @property
    def trouble(self) -> str | None:
        """Why it does not do its work, in words; None while it does, and where it was never started."""
        if self._began is not None and (taken := time.monotonic() - self._began) > self._limit_s:
            return f"{self._name} has been stuck for {taken:.0f} s"
        return self._failure

    async def run(self) -> None:
        """Runs until it is cancelled. What a round raises is logged at once, and the next one comes after a pause."""
        self._running = True
        try:
            failures = 0
            while True:
                failures = 0 if await self._goes_well() else failures + 1
                await (asyncio.sleep(pause_s(failures - 1)) if failures else self._rest())
        finally:
            self._running, self._began = False, None

    async def _goes_well(self) -> bool:
        self._began = time.monotonic()
        try:
            await self._round()
        except OUTAGES as error:
            self._failure = f"{self._name}: the database does not answer: {said(error)}"
            log.warning("%s waits for the database: %s", self._name, said(error))
        except (Exception, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise  # this loop is told to end, not something that it waited for
            self._failure = f"{self._name} fails: {type(error).__name__}: {said(Exception(str(error)))}"
            log.exception("%s fails, and is tried again", self._name)
        else:
            if self._failure is not None:
                log.warning("%s goes on", self._name)
            self._failure = None
        finally:
            self._began = None
        return self._failure is None
