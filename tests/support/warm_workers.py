"""Model workers forked from a process that has imported torch: what an evaluator asks of them takes less than that."""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from runner.inside.names import WORKER
from tests.support.processes import next_line, plain_environment
from tests.support.waiting import until

StartWorker = Callable[[Mapping[str, str], Path], AbstractContextManager[None]]
"""Starts a worker with this environment in this folder; leaving the context kills it and all of its session."""


@contextmanager
def warm_workers() -> Iterator[StartWorker]:
    """A process to fork workers from, for as long as the context lasts."""
    command = [sys.executable, str(Path(__file__).resolve())]
    environment = plain_environment() | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as source:
        assert source.stdin is not None
        asking = source.stdin

        @contextmanager
        def start(environment: Mapping[str, str], folder: Path) -> Iterator[None]:
            asking.write(json.dumps({"environment": dict(environment), "folder": str(folder)}) + "\n")
            asking.flush()
            pid = int(next_line(source))
            try:
                yield
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
                until(lambda: not Path(f"/proc/{pid}").exists())

        try:
            yield start
        finally:
            asking.close()  # which ends it


def _become_worker(environment: dict[str, str], folder: str) -> None:
    """What `python -P -m runner.inside.worker` would be, started with this environment in this folder."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.write(1, f"{os.getpid()}\n".encode())
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    runpy.run_module(WORKER[-1], run_name="__main__", alter_sys=True)


def _fork_when_asked() -> None:
    import runner.inside.model_worker.worker  # noqa: F401  # what takes long, once

    sys.path[:] = [entry for entry in sys.path if entry not in (str(Path(__file__).parent), os.environ["PYTHONPATH"])]
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who has ended is gone
    for line in sys.stdin:
        if os.fork() == 0:
            try:
                _become_worker(**json.loads(line))
            finally:
                os._exit(1)  # a worker leaves by itself


if __name__ == "__main__":
    _fork_when_asked()
