"""Look at what a run uses, and say when it is more than it may."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil

from runner.folder.run_folder import Order, RunFolder
from runner.folder.unlinked import unlinked_bytes
from runner.folder.untrusted import disk_use
from runner.processes.reap import descendants, urgent
from runner.protocol import Exit, ExitReason

_PERIOD_S = 0.1
_SHARE = 20  # a look that took t seconds is followed by a pause of 20 t: at most 5 % of one core


class LimitWatch:
    """Samples processes, memory and disk of one run; the supervisor's descendants are the run."""

    def __init__(self, run: RunFolder, order: Order, memory_files: Callable[[], int]) -> None:
        """`memory_files` tells the bytes of memory that the run's own file systems hold."""
        self._order = order
        self._memory_files = memory_files
        self._folders = [run.out, run.scratch, run.meet]
        self._device = run.path.parent.stat().st_dev
        self._next = time.monotonic() + _PERIOD_S
        self._crowd = _tasks_on_host()

    def breach(self) -> Exit | None:
        """Why the run has to be killed, if it has to. Cheap when it is too early for another look."""
        begin = time.monotonic()
        crowd = _tasks_on_host()
        crowded = crowd - self._crowd > self._order.limits.processes
        if begin < self._next and not crowded:
            return None
        urgent(crowded)
        end = self._look()
        urgent(False)
        now = time.monotonic()
        self._crowd = crowd
        self._next = now + max(_PERIOD_S, _SHARE * (now - begin))
        return end

    def _look(self) -> Exit | None:
        limits = self._order.limits
        processes = descendants()
        if len(processes) > limits.processes:
            return Exit(ExitReason.LIMIT, detail=f"{limits.processes} processes")
        if sum(map(_resident, processes)) + self._memory_files() > self._order.memory_mb << 20:
            return Exit(ExitReason.MEMORY, detail=f"{self._order.memory_mb} MiB")
        unlinked = unlinked_bytes((process.pid for process in processes), self._device)
        if unlinked + disk_use(self._folders, limits.disk_mb << 20) > limits.disk_mb << 20:
            return Exit(ExitReason.LIMIT, detail=f"{limits.disk_mb} MiB of files")
        return None


def _tasks_on_host() -> int:
    """Threads of all processes. Costs microseconds, and so tells of a fork bomb long before the next look is due."""
    return int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0  # ended meanwhile
