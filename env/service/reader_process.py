"""The process of long reads, as the service sees it: it is started, asked, and ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from env.service.readings import ReadingSettings
from env.store.outage import ReaderAway

log = logging.getLogger("ringfence.service")

STARTS_WITHIN_S = 30.0
STUCK_S = 90.0
"""Without a word of a process that is asked for something, it is given up: longer than the database may take."""
HEAD = struct.Struct("<IBI")
"""Of what the process says: the reading's number, an Outcome, bytes that follow."""
LENGTH = struct.Struct("<I")
"""Of what it is told: bytes of the message that follow."""
_BUFFER = 1 << 18


@dataclass(frozen=True)
class Begin:
    """Asks for the first piece of a reading. Numbers begin with 1."""

    number: int
    read: Callable[..., Any]
    arguments: tuple[object, ...]


@dataclass(frozen=True)
class More:
    """Asks for the next piece."""

    number: int


@dataclass(frozen=True)
class Drop:
    """Says that nobody wants the rest."""

    number: int


class Outcome(IntEnum):
    """Of asking for a piece."""

    PIECE = 0
    LAST = 1
    REFUSED = 2
    AWAY = 3
    """The database is; the payload says why."""
    FAILED = 4
    """By a mistake in the code; the payload is the traceback."""


@dataclass(frozen=True)
class Answer:
    """What asking for a piece came to."""

    outcome: Outcome
    payload: bytes


class ReaderProcess:
    """One such process. It sees by the end of its socket that the service is gone, however that ended."""

    def __init__(self, process: subprocess.Popen[bytes], heard: asyncio.StreamReader, told: asyncio.StreamWriter):
        self._process = process
        self._heard = heard
        self._told = told
        self._asked: dict[int, asyncio.Future[Answer]] = {}
        self._ended = False

    @staticmethod
    async def start(settings: ReadingSettings) -> ReaderProcess:
        """Returns when it is ready to read."""
        ours, theirs = socket.socketpair()
        with theirs:
            # It imports what this process does, and nothing of the working folder besides.
            # No fork of this process: it has threads. In a session of its own, no Ctrl-C reaches it before the service,
            # and where the kernel groups processes by session it takes no processor time out of the service's share.
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "env.service.reader", str(theirs.fileno())],
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        heard, told = await asyncio.open_connection(sock=ours, limit=_BUFFER)
        started = ReaderProcess(process, heard, told)
        try:
            started._send(settings)
            await asyncio.wait_for(started._hear(), STARTS_WITHIN_S)
        except BaseException:
            started._end()
            raise
        return started

    async def ask(self, message: Begin | More) -> Answer:
        """Raises ReaderAway if it ends before it answers."""
        if self._ended:
            raise ReaderAway("the process that reads has ended")
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._asked[message.number] = answer
        self._send(message)
        try:
            return await answer
        finally:
            self._asked.pop(message.number, None)

    def tell(self, message: Drop) -> None:
        if not self._ended:
            self._send(message)

    async def listen(self) -> None:
        """Passes on what it says until it ends, and ends it when this is cancelled."""
        try:
            while await self._pass_on():
                pass
        finally:
            self._end()

    async def _pass_on(self) -> bool:
        asked = bool(self._asked)
        hearing = asyncio.ensure_future(self._hear())
        try:
            while not (await asyncio.wait({hearing}, timeout=STUCK_S))[0]:
                if asked:
                    log.error("the process of long reads has said nothing for %.0f s, and is ended", STUCK_S)
                    return False
                asked = bool(self._asked)
            number, answer = hearing.result()
        except (OSError, EOFError) as error:
            log.error("the process of long reads ended: %s", str(error) or type(error).__name__)
            return False
        finally:
            hearing.cancel()
        waiting = self._asked.get(number)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)
        return True

    async def _hear(self) -> tuple[int, Answer]:
        number, outcome, length = HEAD.unpack(await self._heard.readexactly(HEAD.size))
        return number, Answer(Outcome(outcome), await self._heard.readexactly(length))

    def _send(self, message: object) -> None:
        content = pickle.dumps(message)
        self._told.write(LENGTH.pack(len(content)) + content)

    def _end(self) -> None:
        self._ended = True
        self._told.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()  # it writes nothing that could be left half done
        self._process.wait()
        for waiting in self._asked.values():
            if not waiting.done():
                waiting.set_exception(ReaderAway("the process that reads has ended"))
