"""Find and kill every process of a run, whatever it did to get away."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from runner.folder.run_folder import RunFolder

_PR_SET_PDEATHSIG = 1  # prctl(2)
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends: a double fork leads here, not to init."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that started it ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


def reap() -> dict[int, int]:
    """Take leave of every dead child: pid to wait status."""
    ended: dict[int, int] = {}
    with contextlib.suppress(ChildProcessError):
        while (child := os.waitpid(-1, os.WNOHANG)) != (0, 0):
            ended[child[0]] = child[1]
    return ended


def descendants() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def urgent(yes: bool) -> None:
    """Ask that no crowd of other processes keep us from the processor. Granted to root only."""
    with contextlib.suppress(PermissionError):
        if yes:
            os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
        else:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def kill_descendants() -> None:
    """Kill and reap until the kernel says that this process, which adopts orphans, has no child left.

    Whole process groups of the whole tree first: one call that no fork can escape, however fast they come. Whoever is
    left, having fled into a session of its own, loses its parents and becomes a child of ours: those can be listed and
    killed faster than they can fork.
    """
    urgent(True)
    while _has_children():
        for process in descendants():
            with contextlib.suppress(psutil.Error, OSError):
                if process.is_running():
                    os.killpg(os.getpgid(process.pid), signal.SIGKILL)
        for _ in range(100):
            for pid in (children := _children()):
                with contextlib.suppress(PermissionError):  # it has become another user: it ends when it likes
                    os.kill(pid, signal.SIGKILL)  # nobody else can have its number: it is ours to reap
            reap()
            if not children:
                break
        time.sleep(0.001)


def _children() -> list[int]:
    try:
        return [int(pid) for pid in Path("/proc/thread-self/children").read_text().split()]
    except FileNotFoundError:  # a kernel built without it
        return [process.pid for process in psutil.Process().children()]


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def kill_strays(run: RunFolder) -> None:
    """Kill what is left of a run whose supervisor is gone, and with it the kinship to tell its processes by."""
    started_at, session = run.started() or (None, None)
    if started_at is not None and session is not None:
        if started_at < psutil.boot_time():
            return  # all of it went down with the machine
        if _is_younger(session, started_at):
            session = None  # the number is somebody else's by now
    marker = f"OUT_DIR={run.out}".encode()
    _kill_all(lambda: [process for process in psutil.process_iter() if _belongs(process, marker, session)])


def _is_younger(pid: int, moment: float) -> bool:
    try:
        return psutil.Process(pid).create_time() > moment + 2  # the kernel's start times are rounded
    except psutil.NoSuchProcess:
        return False


def _belongs(process: psutil.Process, marker: bytes, session: int | None) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        if os.getsid(process.pid) == session:
            return True
        return marker in Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
    except (psutil.Error, OSError):
        return False  # ended meanwhile, or another user's


def _kill_all(find: Callable[[], list[psutil.Process]]) -> None:
    """Kill what `find` finds until it finds nothing.

    Frozen first, until nobody new turns up: a frozen process can neither fork nor run away between two looks.
    """
    while True:
        frozen: set[psutil.Process] = set()
        while fresh := set(find()) - frozen:
            _signal(fresh, signal.SIGSTOP)
            frozen |= fresh
        if not frozen:
            return
        _signal(frozen, signal.SIGKILL)
        time.sleep(0.002)


def _signal(processes: set[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)
