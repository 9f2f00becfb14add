"""What runs in the process of long reads: `python -m env.service.reader DESCRIPTOR`, a socket to the service.

It reads its settings there, then orders; whoever is at the other end is trusted.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Iterator
from queue import SimpleQueue
from typing import BinaryIO

from env.service.reader_process import HEAD, LENGTH, Begin, Drop, More, Outcome
from env.service.readings import Readings, own_readings
from env.store.outage import OUTAGES, said
from ringfence.api.refusal import Refusal

PIECE_BYTES = 64 << 10
"""At least, but for the last piece: each is a visit to another process."""
NICER = 5
"""The service's own thread goes before."""

Message = Begin | More | Drop


def main() -> None:
    # The service ends it: whoever stops all processes at once lets the service finish its answers.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICER)
    with socket.socket(fileno=int(sys.argv[1])) as channel, channel.makefile("rb") as told:
        readings = own_readings(pickle.loads(_message(told)))
        gc.collect()
        gc.freeze()
        messages: SimpleQueue[Message] = SimpleQueue()
        threading.Thread(target=_receive, args=(told, messages), daemon=True).start()
        _say(channel, 0, Outcome.LAST, b"")
        Reader(readings, channel).work(messages)


class Reader:
    """Takes one order after another; readings of many pieces take turns."""

    def __init__(self, readings: Readings, channel: socket.socket) -> None:
        self._readings = readings
        self._channel = channel
        self._under_way: dict[int, Iterator[bytes]] = {}

    def work(self, messages: SimpleQueue[Message]) -> None:
        while True:
            message = messages.get()
            if isinstance(message, Drop):
                self._forget(message.number)
                continue
            outcome, payload = self._next(message)
            if outcome is not Outcome.PIECE:
                self._forget(message.number)
            _say(self._channel, message.number, outcome, payload)

    def _next(self, message: Begin | More) -> tuple[Outcome, bytes]:
        try:
            if isinstance(message, Begin):
                self._under_way[message.number] = iter(message.read(self._readings, *message.arguments))
            return _piece(self._under_way[message.number])
        except Refusal as refusal:
            return Outcome.REFUSED, pickle.dumps(refusal)
        except OUTAGES as error:
            return Outcome.AWAY, said(error).encode()
        except Exception:
            return Outcome.FAILED, traceback.format_exc().encode("utf-8", "backslashreplace")

    def _forget(self, number: int) -> None:
        """Closes its snapshot as well."""
        pieces = self._under_way.pop(number, None)
        if pieces is not None and hasattr(pieces, "close"):
            with contextlib.suppress(*OUTAGES):
                pieces.close()


def _piece(pieces: Iterator[bytes]) -> tuple[Outcome, bytes]:
    some = bytearray()
    for piece in pieces:
        some += piece
        if len(some) >= PIECE_BYTES:
            return Outcome.PIECE, bytes(some)
    return Outcome.LAST, bytes(some)


def _receive(told: BinaryIO, messages: SimpleQueue[Message]) -> None:
    try:
        while True:
            messages.put(pickle.loads(_message(told)))
    except (OSError, EOFError):
        os._exit(0)  # the service is gone; nobody wants what is being read


def _message(told: BinaryIO) -> bytes:
    head = told.read(LENGTH.size)
    if len(head) < LENGTH.size:
        raise EOFError
    return told.read(*LENGTH.unpack(head))


def _say(channel: socket.socket, number: int, outcome: Outcome, payload: bytes) -> None:
    channel.sendall(HEAD.pack(number, outcome, len(payload)) + payload)


if __name__ == "__main__":
    main()
