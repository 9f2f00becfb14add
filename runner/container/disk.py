"""A file system of its own size for the output of one run: what is written beyond it fails, however it is written.

It lies in a sparse file of the run's folder and is mounted over the run's output folder, as only root can do. The mount
outlives the service; after a restart of the machine it is made again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

from runner.container.cpu import members
from runner.folder.run_folder import RunFolder
from runner.folder.unlinked import unlinked_bytes
from runner.folder.untrusted import disk_use
from runner.protocol import RunnerError, is_worker

ENTRY_BYTES = 32 << 10
"""Room that goes with one file or folder: there are as many as fit into the size if each takes this much."""
_OPTIONS = "loop,nosuid,nodev,noexec,noatime"
_PATIENCE_S = 60.0


class NoDisk(RunnerError):
    """This host does not let the service make file systems; the message says what failed."""


def make_disk(run: RunFolder, size_mb: int) -> None:
    """Lay a file system over the run's empty output folder, unless one is there. Raises NoDisk.

    It is a little larger than `size_mb`, so that a run that takes its time is told of the limit before it meets the
    end of the file system, and nobody is cheated of room by its tables.
    """
    image = _image(run)
    if not image.exists():
        draft = image.with_name(f"{image.name}.draft")
        with draft.open("wb") as file:
            file.truncate((size_mb + size_mb // 16 + 16) << 20)
        # Nothing is kept back for root, and the tables are written when they are needed.
        _run("mkfs.ext4", "-q", "-F", "-m", "0", "-i", str(ENTRY_BYTES), "-E", "lazy_itable_init=1", str(draft))
        draft.replace(image)
    attach_disk(run)
    with contextlib.suppress(FileNotFoundError):
        (run.out / "lost+found").rmdir()


def attach_disk(run: RunFolder) -> None:
    """Mount the run's file system, if it has one that is not mounted. Raises NoDisk."""
    if _image(run).exists() and not run.out.is_mount():
        _run("mount", "-t", "ext4", "-o", _OPTIONS, str(_image(run)), str(run.out))


def detach_disk(run: RunFolder) -> None:
    """Unmount the run's file system, if it is mounted, so that its folder can be deleted. Raises NoDisk."""
    while run.out.is_mount():
        _run("umount", "--lazy", str(run.out))  # whoever still reads a file there may go on


def disk_taken(run: RunFolder) -> int | None:
    """Bytes taken on the run's file system, those of files without a name as well; None if it has none of its own."""
    if not run.out.is_mount():
        return None
    about = os.statvfs(run.out)
    return (about.f_blocks - about.f_bfree) * about.f_frsize + (about.f_files - about.f_ffree) * ENTRY_BYTES


def host_disk_use(run: RunFolder, pid: int, enough: int) -> float:
    """Bytes that a run takes of this host's disk; more than `enough` need not be counted. `pid` is its first process.

    Files without a name are dear to find: they are looked for only where they can be.
    """
    if is_worker(run.path.name):
        return 0  # it has nothing of the host's to write on
    used = disk_use([run.meet], enough)
    own = disk_taken(run)
    if own is not None:
        return used + own
    return used + disk_use([run.out], enough) + unlinked_bytes(members(pid), run.path.stat().st_dev)


def _image(run: RunFolder) -> Path:
    return run.path / "out.img"


def _run(*command: str) -> None:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    program = shutil.which(command[0], path=path)
    if program is None:
        raise NoDisk(f"there is no {command[0]}")
    try:
        done = subprocess.run([program, *command[1:]], capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise NoDisk(f"{command[0]} did not end") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or [f"exit status {done.returncode}"]
        raise NoDisk(f"{command[0]} fails: {said[0]}")
