"""Copy what a run prints into files, of bounded size however much it prints."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

TAIL_BYTES = 64 << 10
"""How much of the end is kept of a stream that outgrew its cap."""

_CHUNK = 1 << 20  # also the pipe's size: the most an unprivileged process may ask for


class BoundedCopy:
    """One stream: its first `cap` bytes as they come, and at its end a line on what was left out, then its last bytes.

    The file only ever grows, so that a reader's offset stays good.
    """

    def __init__(self, path: Path, cap: int) -> None:
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)
        with contextlib.suppress(OSError):  # over the user's share of pipe memory: slower, not wrong
            fcntl.fcntl(self.read_end, fcntl.F_SETPIPE_SZ, _CHUNK)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._room = cap
        self._tail = b""
        self._beyond = 0

    def close_write_end(self) -> None:
        """After the run has its copy: from then on the pipe ends when the run does."""
        os.close(self.write_end)

    def pump(self) -> bool:
        """Take what is in the pipe; False at its end."""
        try:
            chunk = os.read(self.read_end, _CHUNK)
        except BlockingIOError:
            return True
        self._keep(chunk)
        return bool(chunk)

    def finish(self) -> None:
        """Take the rest and write the end. The run's processes are dead, so that the pipe can't fill again."""
        while chunk := self._rest():
            self._keep(chunk)
        if self._beyond:
            left_out = self._beyond - len(self._tail)
            self._write(b"\n[... %d bytes left out ...]\n" % left_out + self._tail)
        os.close(self.read_end)
        os.close(self._file)

    def _rest(self) -> bytes:
        try:
            return os.read(self.read_end, _CHUNK)
        except BlockingIOError:
            return b""

    def _keep(self, chunk: bytes) -> None:
        head, rest = chunk[: self._room], chunk[self._room :]
        self._room -= len(head)
        self._write(head)
        if rest:
            self._beyond += len(rest)
            self._tail = (self._tail + rest)[-TAIL_BYTES:]

    def _write(self, data: bytes) -> None:
        # A full disk costs output, never the supervision of the run.
        with contextlib.suppress(OSError):
            while data:
                data = data[os.write(self._file, data) :]
