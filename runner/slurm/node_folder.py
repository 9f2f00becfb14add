"""The folder of a job on its node, which nobody shares: taken, and cleared away when a job has died over it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from runner.folder.untrusted import erase


def take_node_folder(folder: Path) -> int:
    """Makes the folder, and deletes those of this service's jobs that live no more. Returns the lock that says so."""
    folder.parent.mkdir(exist_ok=True, parents=True)
    family = folder.name[: len("ringfence-") + folder.name.removeprefix("ringfence-").index("-") + 1]
    for other in folder.parent.glob(f"{family}*"):
        _clear_away(other)
    draft = folder.with_name(f".{folder.name}-{os.getpid()}")
    draft.mkdir(mode=0o700)
    lock = os.open(draft, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(lock, fcntl.LOCK_EX)
    draft.rename(folder)  # locked from its first moment
    return lock


def _clear_away(folder: Path) -> None:
    with contextlib.suppress(OSError):
        if folder.stat(follow_symlinks=False).st_uid != os.getuid():
            return
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            erase(folder)
        finally:
            os.close(lock)
