"""The place where the evaluator and its workers meet: a Unix socket for each, in folders laid between the sandboxes.

A worker sees its own folder only, and cannot write there: it can connect to the socket and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from runner.inside.names import DISMISSED, GONE
from runner.inside.wire import Wire, WireTimeout

_SOCKET = "socket"
_RETRY_S = 0.02


class Rendezvous:
    """The evaluator's side: listens for every worker. A context manager; leaving it closes what nobody came for."""

    def __init__(self, folder: Path, workers: Sequence[str]) -> None:
        """`folder` holds an empty folder per worker name."""
        self._folder = folder
        self._listening = {name: _listen(folder / name) for name in workers}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._listening.values():
            one.close()

    def welcome(self, name: str, timeout_s: float) -> Wire:
        """Wait for that worker, which may come once; the wire to it. Raises WireTimeout when it does not come."""
        with self._listening.pop(name) as listening:
            listening.settimeout(timeout_s)
            try:
                connected, _ = listening.accept()
            except TimeoutError:
                raise WireTimeout("nobody came") from None
            return Wire(connected)

    def dismiss(self, names: Sequence[str], timeout_s: float) -> None:
        """Have the runner kill these workers, and wait until nothing of them is left. Raises WireTimeout."""
        for name in names:
            (self._folder / name / DISMISSED).touch()
        patience = time.monotonic() + timeout_s
        while not all((self._folder / name / GONE).exists() for name in names):
            if time.monotonic() > patience:
                raise WireTimeout("they are still there")
            time.sleep(_RETRY_S)


def join(folder: Path, timeout_s: float) -> Wire:
    """A worker's side: the wire to its evaluator, which may not be there yet. Raises WireTimeout."""
    patience = time.monotonic() + timeout_s
    connection = socket.socket(socket.AF_UNIX)
    with _short(folder) as path:
        while True:
            try:
                connection.connect(path)
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() > patience:
                    raise WireTimeout("nobody listens") from None
                time.sleep(_RETRY_S)
            else:
                return Wire(connection)


def _listen(folder: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX)
    with _short(folder) as path:
        # Under another name first: who connects to the final one is heard.
        listening.bind(f"{path}.new")
        Path(f"{path}.new").chmod(0o666)
        listening.listen(1)
        Path(f"{path}.new").rename(path)
    return listening


@contextlib.contextmanager
def _short(folder: Path) -> Iterator[str]:
    """A socket's path in that folder within the 107 bytes there are for one, however long the folder's own is."""
    fd = os.open(folder, os.O_DIRECTORY | os.O_PATH)
    try:
        yield f"/proc/self/fd/{fd}/{_SOCKET}"
    finally:
        os.close(fd)
