"""Processor time of a container, read while it runs: its control group, which counts it, ends with it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

_ENGINE_S = 0.5  # how often the engine is asked, which takes it milliseconds
_GROUPS = Path("/sys/fs/cgroup")


class CpuMeter:
    """Keeps the last figure there was."""

    def __init__(self, pid: int, ask_engine: Callable[[], float | None]) -> None:
        """`pid` is that of the container's first process on this host, 0 if it has none; `ask_engine` gives the seconds
        so far by the engine, for a service that cannot see the host's control groups.
        """
        self.seconds: float | None = None
        """Used so far by all processes of the container, the ended ones too; None before anything was read."""
        self._counter = _counter(pid)
        self._ask_engine = ask_engine
        self._engine_due = 0.0

    def look(self) -> None:
        """Read it again: in microseconds, unless it is the engine's turn."""
        if self._counter is not None:
            try:
                self.seconds = _seconds(self._counter.read_text())
            except (OSError, ValueError):
                return  # the container has just ended
        elif time.monotonic() >= self._engine_due:
            self.seconds = self._ask_engine() or self.seconds
            self._engine_due = time.monotonic() + _ENGINE_S


def members(pid: int) -> list[int]:
    """The processes of this host that are in the control group of process `pid`; none where that cannot be seen."""
    counter = _counter(pid)
    if counter is None:
        return []
    try:
        return [int(member) for member in (counter.parent / "cgroup.procs").read_text().split()]
    except (OSError, ValueError):
        return []


def _counter(pid: int) -> Path | None:
    """The file that counts the processor time of a process's control group, of version 1 or 2."""
    if pid == 0:
        return None
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        place = path.strip("/")
        if not place:
            continue  # the whole host
        if "cpuacct" in controllers.split(","):
            counter = _GROUPS / "cpuacct" / place / "cpuacct.usage"
        elif not controllers:
            counter = _GROUPS / place / "cpu.stat"
        else:
            continue
        if counter.exists():
            return counter
    return None


def _seconds(text: str) -> float:
    if found := re.search(r"^usage_usec (\d+)$", text, re.MULTILINE):
        return int(found[1]) / 1e6
    return int(text) / 1e9
