"""From options to a wired service, and everything that can stop it from starting."""

from __future__ import annotations

import fcntl
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from env.house import House, Settings, build
from leaderboard.migrate import NewerDatabase
from runner.data import DataError, prepare_smoke
from runner.fake import FakeRunner
from runner.local.runner import LocalRunner
from runner.pool import Host, Pool
from runner.protocol import Runner
from tasks.errors import TaskError
from tasks.load import load_tasks
from tasks.model import Task

_UNSANDBOXED = (
    "WARNING: the local runner is not a sandbox. Tests run as ordinary processes of this user and can read and write "
    "what this user can. Use it for development, with agents you trust."
)
_NO_DOCKER = (
    "the docker runner is not part of this version yet. Ask for '--runner local' (no sandbox: for development, with "
    "agents you trust) or '--runner fake' (invented results: for trying the API)."
)


class CannotStart(Exception):
    """Says what to change."""


@dataclass(frozen=True)
class Options:
    db: str | None
    runner: str
    tasks: tuple[Path, ...]
    data: Path | None
    state: Path
    scale: str | None
    slots: int | None
    keys: tuple[str, ...]


def load(folders: tuple[Path, ...]) -> dict[str, Task]:
    """The built-in tasks and those in `folders`. Raises CannotStart."""
    try:
        return load_tasks(folders)
    except TaskError as error:
        raise CannotStart(str(error)) from error


def wire(options: Options) -> House:
    """The whole service, ready to serve. Raises CannotStart."""
    tasks = load(options.tasks)
    if options.scale is not None and not any(options.scale in task.scales for task in tasks.values()):
        known = ", ".join(sorted({name for task in tasks.values() for name in task.scales}))
        raise CannotStart(f"no task has the scale {options.scale!r}. There are: {known}.")
    try:
        options.state.mkdir(parents=True, exist_ok=True)
        _claim(options.state)
        runner = _runner(options)
        host = _host(options, runner)
        url = options.db or f"sqlite:///{options.state.resolve() / 'ringfence.db'}"
        return build(Settings(url, options.state, options.keys, options.scale), tasks, runner, host)
    except OSError as error:
        raise CannotStart(f"cannot use the state folder {options.state}: {error.strerror}.") from error
    except (DataError, NewerDatabase) as error:
        raise CannotStart(str(error)) from error
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError, DBAPIError) as error:
        raise CannotStart(f"cannot open the database: {error}. Use a URL like sqlite:///ringfence.db.") from error


def _claim(state: Path) -> None:
    """One service per state folder: two would run the same tests. The lock goes with the process, however it ends."""
    lock = os.open(state / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise CannotStart(f"another service uses the state folder {state}. Stop it, or give --state.") from None


def _host(options: Options, runner: Runner) -> Host:
    slots = Pool.of_slots(runner.slots)
    # Invented runs need no GPUs: every scale can be tried on the slots.
    return Host(slots, slots if options.runner == "fake" else Pool([]), lambda _: False)


def _runner(options: Options) -> Runner:
    slots = options.slots or max(1, len(os.sched_getaffinity(0)) // 2)
    match options.runner:
        case "local":
            print(_UNSANDBOXED, file=sys.stderr)
            data = options.data or options.state / "data"
            prepare_smoke(data)
            return LocalRunner(options.state / "runs", data, slots)
        case "fake":
            return FakeRunner(slots=slots)
        case _:
            raise CannotStart(_NO_DOCKER)
