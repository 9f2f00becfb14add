"""Long reads for the service's thread, which only passes their answers on."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
from dataclasses import dataclass
from itertools import count

from env.service.reader_process import Answer, Begin, Drop, More, Outcome, ReaderProcess
from env.service.readings import P, Read, Readings, ReadingSettings
from env.store.lease import Lease
from env.store.outage import Loop, ReaderAway
from ringfence.api.refusal import Refusal

START_LIMIT_S = 60.0
START_PATIENCE_S = 10.0
"""For a call that comes while the process is being started."""


class Pieces:
    """The pieces of an answer, asked for one by one: that is what bounds the memory it takes. Forgotten, it is given
    up in the process as well.
    """

    def __init__(self, process: ReaderProcess, begin: Begin) -> None:
        self._process = process
        self._next: Begin | More = begin
        self.over = False

    async def take(self) -> bytes:
        """The next one. Raises Refusal, and ReaderAway, one of OUTAGES."""
        answer = await self._process.ask(self._next)
        self._next = More(self._next.number)
        self.over = answer.outcome is not Outcome.PIECE
        return _piece(answer)

    def close(self) -> None:
        """Gives up what is left, with its snapshot."""
        if not self.over:
            self.over = True
            self._process.tell(Drop(self._next.number))

    def __del__(self) -> None:
        self.close()


@dataclass(frozen=True)
class Reading:
    """An answer that has begun."""

    first: bytes
    rest: Pieces | None
    """None if the first piece is all."""


class LongReads:
    """Has a process of its own for them for as long as `loop` runs; the database of one process is read in that."""

    def __init__(self, settings: ReadingSettings, readings: Readings, lease: Lease, *, apart: bool) -> None:
        """`apart`: whether other processes can read the database at all."""
        self._settings = settings
        self._readings = readings
        self._lease = lease
        self._apart = apart
        self._numbers = count(1)
        self._process: ReaderProcess | None = None
        self._started = asyncio.Event()
        self.loop = Loop("reading in a process of its own", self._start, self._until_it_ends, START_LIMIT_S)

    async def begin(self, read: Read[P], *arguments: P.args, **_: P.kwargs) -> Reading:
        """The answer's first piece, once it is there. Raises Refusal, and one of OUTAGES."""
        if not self._apart:
            return Reading(b"".join(read(self._readings, *arguments)), None)  # type: ignore[call-arg]
        self._lease.require()
        pieces = Pieces(await self._running(), Begin(next(self._numbers), read, arguments))
        first = await pieces.take()
        return Reading(first, None if pieces.over else pieces)

    async def whole(self, read: Read[P], *arguments: P.args, **named: P.kwargs) -> bytes:
        """All of an answer that is known to be of bounded length. Raises as `begin` does."""
        reading = await self.begin(read, *arguments, **named)
        pieces = [reading.first]
        while reading.rest is not None and not reading.rest.over:
            pieces.append(await reading.rest.take())
        return b"".join(pieces)

    async def _running(self) -> ReaderProcess:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._started.wait(), START_PATIENCE_S)
        if self._process is None:  # also where it ended between its start and here
            raise ReaderAway("the process that reads is not there")
        return self._process

    async def _start(self) -> None:
        self._process = await ReaderProcess.start(self._settings)
        self._started.set()

    async def _until_it_ends(self) -> None:
        assert self._process is not None
        try:
            await self._process.listen()
        finally:
            self._started.clear()
            self._process = None


def _piece(answer: Answer) -> bytes:
    if answer.outcome is Outcome.REFUSED:
        refusal = pickle.loads(answer.payload)
        assert isinstance(refusal, Refusal)
        raise refusal
    if answer.outcome is Outcome.AWAY:
        raise ReaderAway(answer.payload.decode())
    if answer.outcome is Outcome.FAILED:
        raise RuntimeError(f"a long read failed:\n{answer.payload.decode()}")
    return answer.payload
