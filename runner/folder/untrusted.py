"""Folders in which a hostile process has worked: they are read, measured and deleted without trusting what is there."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import subprocess
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_ENTRY_BYTES = 32 << 10  # charged for every file and folder: empty ones fill a disk too, and take long to count


def read_plain_file(folder: Path, name: str, limit: int) -> bytes | None:
    """The bytes of `folder/name`; None if it is missing, not a plain file inside the folder, or longer than `limit`.

    Every step of the path is opened from the one before and never followed if it is a link, so that nothing swapped in
    meanwhile leads out of the folder.
    """
    parts = name.split("/")
    if "\0" in name or any(part in ("", ".", "..") for part in parts):
        return None
    try:
        at = os.open(folder, _FOLDER)
        for part in parts[:-1]:
            at = _step(at, part, _FOLDER)
        at = _step(at, parts[-1], _FILE)
    except OSError:
        return None
    try:
        about = os.fstat(at)
        if not stat.S_ISREG(about.st_mode) or about.st_size > limit:
            return None
        with open(at, "rb", closefd=False) as file:
            data = file.read(limit + 1)  # it may have grown since
    finally:
        os.close(at)
    return data if len(data) <= limit else None


def create_plain_file(path: Path) -> None:
    """Make an empty file unless something of that name is there, whatever it is: nothing is followed or changed."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))


def disk_use(folders: list[Path], enough: int) -> float:
    """Bytes on disk under `folders`; counting stops above `enough`. Infinite when part of it is hidden from us."""
    total = 0
    pending = [str(folder) for folder in folders]
    while pending and total <= enough:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    total += _ENTRY_BYTES + entry.stat(follow_symlinks=False).st_blocks * 512
                    if total > enough:
                        break
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):  # not gone meanwhile: unreadable, or nested too deep
                return float("inf")
    return total


def erase(folder: Path) -> None:
    """Delete a folder in which a hostile process has worked: locked folders, and nested deeper than Python recurses."""
    subprocess.run(["chmod", "-R", "u+rwX", "--", folder], check=False, stderr=subprocess.DEVNULL)
    subprocess.run(["rm", "-rf", "--", folder], check=True)


def _step(folder: int, name: str, flags: int) -> int:
    """Open `name` in the open `folder`, and close that."""
    try:
        return os.open(name, flags, dir_fd=folder)
    finally:
        os.close(folder)
