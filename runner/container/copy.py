"""Copy what a container printed from the engine into a file of the run's folder: each byte once, and only so many."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

LINE_BYTES = 100
"""Bytes charged for every line: the engine keeps about as much for an empty one."""


class LogCopy:
    """Copies one stream of a container into a file.

    The file is a prefix of the stream, and its size is all there is to remember: a copy cut short by the death of the
    service or the engine goes on where it ended, from a stream that is read from its beginning.
    """

    def __init__(self, path: Path, cap: int) -> None:
        self.exceeded = False
        """Whether the run printed more than it may."""
        self._path = path
        self._cap = cap

    def take(self, chunks: Iterable[bytes]) -> None:
        """`chunks`: the stream from its beginning, a line or part of one each. Returns at its end, or above the cap."""
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            known = os.fstat(file).st_size
            at = charged = 0
            for chunk in chunks:
                charged += len(chunk) + LINE_BYTES
                if charged > self._cap:
                    self.exceeded = True
                    return
                fresh = chunk[max(0, known - at) :]
                at += len(chunk)
                # A full disk costs output, never the supervision of the run.
                with contextlib.suppress(OSError):
                    while fresh:
                        fresh = fresh[os.write(file, fresh) :]
        finally:
            os.close(file)
