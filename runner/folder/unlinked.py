"""Room on a disk that is taken by files without a name: whoever has them open, or mapped, keeps it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable


def unlinked_bytes(pids: Iterable[int], device: int) -> int:
    """Bytes on the file system `device` (`st_dev`) in files without a name that these processes hold.

    Other users' processes are only seen by root. A file that is under way through a socket is nobody's meanwhile.
    """
    found: dict[int, int] = {}
    for pid in pids:
        for place in ("fd", "map_files"):
            for about in _held(f"/proc/{pid}/{place}"):
                if about.st_dev == device and not about.st_nlink and stat.S_ISREG(about.st_mode):
                    found[about.st_ino] = about.st_blocks * 512
    return sum(found.values())


def _held(folder: str) -> Iterable[os.stat_result]:
    try:
        names = os.listdir(folder)  # noqa: PTH208 - a path object for each of thousands takes longer than the look
    except OSError:
        return  # ended meanwhile, or another user's
    for name in names:
        try:
            yield os.stat(f"{folder}/{name}")  # noqa: PTH116
        except OSError:
            continue
