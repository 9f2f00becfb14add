"""A little room on the disk that no run can take: given up when the disk is full, so that ends can be written down."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_BYTES = 4 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT)


def keep_reserve(root: Path) -> None:
    """Take the room for the run folders in `root`, unless it is there. On a full disk there is none to take."""
    place = _place(root)
    if place.exists():
        return
    with contextlib.suppress(OSError):
        draft = place.with_name(f"{place.name}.draft")
        with draft.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, _BYTES)
        draft.replace(place)


def with_reserve(root: Path, work: Callable[[], T]) -> T:
    """Do the work, and once more with the reserve given up if the disk of `root` is full."""
    try:
        return work()
    except OSError as error:
        if error.errno not in _FULL:
            raise
    _place(root).unlink(missing_ok=True)
    return work()


def _place(root: Path) -> Path:
    return root.with_name(f".{root.name}-reserve")
