"""Frames between the evaluator and a model worker: a small JSON header and the raw bytes of plain arrays.

A frame is a little-endian uint32 length, that many bytes of JSON (an object; its `arrays` lists `[dtype, shape]`), and
the arrays' bytes one after another. Nothing in it can name a type, a path or code. Either end may be hostile: every
length is checked before anything is read or allocated, and every wait has a deadline.
"""

from __future__ import annotations

import json
import math
import os
import select
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_HEADER = 1 << 16
"""The most bytes of JSON in a frame."""
ITEM_BYTES = {"<i4": 4, "<f4": 4, "|u1": 1}
"""Everything that can travel, by NumPy's name for the type, and its size."""

MAX_DIMENSIONS = 4

Array = NDArray[np.int32] | NDArray[np.float32] | NDArray[np.uint8]
Layout = Sequence[tuple[str, tuple[int, ...]]]
"""Type and shape of each array in a frame."""


class WireError(Exception):
    """No frame came, or it could not be sent."""


class WireTimeout(WireError):
    """The other end was too slow."""


class WireClosed(WireError):
    """The other end is gone."""


class WireGarbage(WireError):
    """What came is not a frame, or more than was asked for."""


class Wire:
    """One end of a connected socket, which it owns."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._fd = connected.fileno()
        connected.setblocking(False)

    def send(self, header: Mapping[str, object], arrays: Sequence[Array] = (), timeout_s: float | None = None) -> None:
        """Write one frame. Raises WireTimeout or WireClosed."""
        described = {**header, "arrays": [[array.dtype.str, array.shape] for array in arrays]}
        text = json.dumps(described).encode()
        assert len(text) <= MAX_HEADER
        assert all(array.dtype.str in ITEM_BYTES for array in arrays)
        deadline = _deadline(timeout_s)
        self._write(len(text).to_bytes(4, "little") + text, deadline)
        for array in arrays:
            self._write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, deadline)

    def receive(
        self, limit: int, timeout_s: float | None = None, expected: Layout | None = None
    ) -> tuple[dict[str, Any], list[Array]]:
        """Read one frame whose arrays are at most `limit` bytes together. Raises any WireError.

        With `expected`, arrays of exactly that layout or none at all.
        """
        deadline = _deadline(timeout_s)
        length = int.from_bytes(self._read(4, deadline), "little")
        if not 0 < length <= MAX_HEADER:
            raise WireGarbage(f"a header of {length} bytes")
        header, layout = _parse_header(bytes(self._read(length, deadline)))
        if expected is not None and layout and layout != list(expected):
            raise WireGarbage(f"arrays {layout} where {list(expected)} were asked for"[:500])
        sizes = [ITEM_BYTES[dtype] * math.prod(shape) for dtype, shape in layout]
        if sum(sizes) > limit:
            raise WireGarbage(f"{sum(sizes)} bytes of arrays where at most {limit} were asked for")
        arrays: list[Array] = [
            np.frombuffer(self._read(size, deadline), dtype=dtype).reshape(shape)
            for size, (dtype, shape) in zip(sizes, layout, strict=True)
        ]
        return header, arrays

    def close(self) -> None:
        """Close the socket, which the other end notices."""
        self._socket.close()

    def _write(self, data: bytes | memoryview, deadline: float | None) -> None:
        left = memoryview(data)
        while left:
            _wait(self._fd, select.POLLOUT, deadline)
            try:
                left = left[os.write(self._fd, left) :]
            except BlockingIOError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                raise WireClosed("the other end is gone") from None

    def _read(self, size: int, deadline: float | None) -> bytearray:
        data = bytearray(size)
        left = memoryview(data)
        while left:
            _wait(self._fd, select.POLLIN, deadline)
            try:
                got = os.readv(self._fd, [left])
            except BlockingIOError:
                continue
            except ConnectionResetError:
                got = 0
            if got == 0:
                raise WireClosed("the other end is gone")
            left = left[got:]
        return data


def _parse_header(text: bytes) -> tuple[dict[str, Any], Layout]:
    try:
        header = json.loads(text)
        layout = [(dtype, tuple(shape)) for dtype, shape in header.pop("arrays")]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise WireGarbage("the header is not what was agreed on") from None
    for dtype, shape in layout:
        possible = len(shape) <= MAX_DIMENSIONS and all(type(size) is int and 0 <= size < 1 << 31 for size in shape)
        if not possible or not isinstance(dtype, str) or dtype not in ITEM_BYTES:
            raise WireGarbage("the header names an impossible array")
    return header, layout


def _deadline(timeout_s: float | None) -> float | None:
    return None if timeout_s is None else time.monotonic() + timeout_s


def _wait(fd: int, event: int, deadline: float | None) -> None:
    """Until `fd` is ready for `event` or has an error to report. Raises WireTimeout."""
    poll = select.poll()
    poll.register(fd, event)
    left_ms = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
    if not poll.poll(left_ms):
        raise WireTimeout("no answer in time")
