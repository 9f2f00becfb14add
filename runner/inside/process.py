"""A worker as a process beside its asker, in the same sandbox: for rehearsals, which give advice and no results."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self


class WorkerProcess:
    """A worker that meets its asker in a folder. A context manager: leaving it kills the worker and its children.

    Its standard output goes nowhere: the agent's code may print as it likes. Its standard error is the asker's own.
    """

    def __init__(self, meet_dir: Path, environment: Mapping[str, str], work_dir: Path) -> None:
        """`environment` names the SCRIPT within `work_dir`."""
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "runner.inside.worker"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**environment, "MEET_DIR": str(meet_dir)},
            cwd=work_dir,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:  # once it is reaped, its group's number may belong to others
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
