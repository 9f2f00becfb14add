"""Processes that a test starts, itself or by way of a service, and that may not outlive it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any, AnyStr

import psutil

from tests.support.waiting import until


def plain_environment() -> dict[str, str]:
    """Without the RINGFENCE_* settings of whoever runs the tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith("RINGFENCE_")}


def next_line(process: subprocess.Popen[AnyStr], patience_s: float = 60) -> AnyStr:
    """The next line that a process prints. One that stays silent is killed, and its line is empty."""
    assert process.stdout is not None
    timer = Timer(patience_s, process.kill)
    timer.start()
    try:
        return process.stdout.readline()
    finally:
        timer.cancel()
        timer.join()


@contextmanager
def started(
    command: Sequence[str | os.PathLike[str]], env: Mapping[str, str] | None = None, **options: Any
) -> Iterator[subprocess.Popen[str]]:
    """A process whose output can be read; at the end it is killed with all of its group, unless that has ended."""
    with subprocess.Popen(
        command,
        env=plain_environment() if env is None else env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    ) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def run_to_end(
    command: Sequence[str | os.PathLike[str]],
    patience_s: float = 200,
    env: Mapping[str, str] | None = None,
    **options: Any,
) -> subprocess.CompletedProcess[str]:
    """Like `subprocess.run`, but nothing of the command's group is left afterwards, even when it took too long."""
    with started(command, env, **options) as process:
        out, err = process.communicate(timeout=patience_s)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def living_under(folder: Path) -> list[psutil.Process]:
    """Processes but this one that have anything to do with a folder: by arguments, environment or working directory."""
    found = []
    for process in psutil.process_iter():
        try:
            about = [*process.cmdline(), *process.environ().values(), process.cwd()]
        except (psutil.Error, OSError):
            continue  # ended, a zombie, or in a folder with too long a name, as another test makes them
        if process.pid != os.getpid() and any(str(folder) in text for text in about):
            found.append(process)
    return found


def kill_under(folder: Path) -> None:
    """Kills whatever works in a folder: a supervisor goes before those that it would start again."""

    def none_is_left() -> bool:
        left = living_under(folder)
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        return not left

    until(none_is_left, 20, 0.05)
