"""From options to a wired service, and everything that can stop it from starting."""

from __future__ import annotations

import fcntl
import os
import sys
import tomllib
from dataclasses import fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, TypeAdapter
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from env.cli.cluster_file import gpu_pool, read_cluster
from env.cli.options import Options, RunnerName
from env.document.baselines import check_baselines
from env.service.service import Service, build
from env.service.settings import BadSecret, ServiceSettings
from env.store.engine import sqlite_file
from env.store.lease import Lease, take_lease
from env.store.outage import NotOwner
from leaderboard.migrate import NewerDatabase
from runner.container.sandbox import Sandbox
from runner.data import DataError, prepare_smoke
from runner.fake.runner import FakeRunner
from runner.gpus import busy, chosen, discover, occupied
from runner.local.runner import LocalRunner
from runner.pool import Device, Host, Pool
from runner.protocol import Runner, RunnerError
from runner.slurm.runner import SlurmRunner
from tasks.data_sets import TextData, task_reading
from tasks.errors import TaskError
from tasks.load import Found, find_tasks
from tasks.model import Task

_UNSANDBOXED = (
    "WARNING: the local runner is not a sandbox. Tests run as ordinary processes of this user and can read and write "
    "what this user can. Use it for development, with agents you trust."
)
_TRAINER = {"torch": "torch", "numpy": "numpy", "safetensors": "safetensors", "lm-eval": "lm_eval"}
"""Packages that every test needs, and how they are imported."""
_INSTEAD = (
    "Without a container engine there are '--runner local' (no sandbox: for development, with agents you trust) and "
    "'--runner fake' (invented results: for trying the API)."
)
_NO_FORESIGHT = (RunnerName.FAKE, RunnerName.SLURM)
"""Where nothing is built, or a look would wait in a cluster's queue."""


class CannotStart(Exception):
    """What keeps the service from starting, in words that say what to change."""


def load(folders: tuple[Path, ...], data_set: TextData = TextData.FINEWEB10B) -> dict[str, Task]:
    """The built-in tasks and those in `folders`, with `data_set` as their web text. Raises CannotStart."""
    return {task_id: found.task for task_id, found in find(folders, data_set).items()}


def find(folders: tuple[Path, ...], data_set: TextData = TextData.FINEWEB10B) -> dict[str, Found]:
    """The same with what lies beside them. Raises CannotStart."""
    try:
        tasks = find_tasks(folders)
        for found in tasks.values():
            check_baselines(found.task)
        return {name: replace(found, task=task_reading(found.task, data_set)) for name, found in tasks.items()}
    except TaskError as error:
        raise CannotStart(str(error)) from error


def wire(options: Options, *, only_own_sessions: bool = False, lease: Lease | None = None) -> Service:
    """The whole service, ready to serve. Raises CannotStart.

    With `only_own_sessions` it takes up nothing but the sessions that are opened in this process. `lease` is that of
    its database, if the process has taken it already.
    """
    found = find(options.tasks, options.data_set)
    tasks = {task_id: one.task for task_id, one in found.items()}
    anchors = {task_id: one.anchors for task_id, one in found.items()}
    if options.scale is not None and not any(options.scale in task.scales for task in tasks.values()):
        known = ", ".join(sorted({name for task in tasks.values() for name in task.scales}))
        raise CannotStart(f"no task has the scale {options.scale!r}. There are: {known}.")
    try:
        options.state.mkdir(parents=True, exist_ok=True)
        _check_folder(options.db)
        _claim(options.state)
        lease = lease or take_lease(options.database_url)
        runner = _runner(options)
        host = _host(options, runner)
        return build(
            ServiceSettings(
                db=options.database_url,
                state_dir=options.state,
                data_dir=None if options.runner is RunnerName.FAKE else options.data_folder,
                keys=options.keys,
                agent_keys=options.agent_keys,
                default_scale=options.scale,
                patience=options.patience,
                rates=options.rates,
                foresight=options.foresight and options.runner not in _NO_FORESIGHT,
                apart=options.runner is RunnerName.DOCKER and not options.neighbours,
                confirmations=options.confirmations,
                only_own_sessions=only_own_sessions,
            ),
            tasks,
            runner,
            host,
            anchors,
            lease=lease,
        )
    except OSError as error:
        where = error.filename or f"the state folder {options.state}"
        raise CannotStart(f"cannot use {where}: {error.strerror}.") from error
    except NotOwner as error:
        raise CannotStart(f"{error}. Stop that, or give another --db.") from error
    except (DataError, NewerDatabase, BadSecret) as error:
        raise CannotStart(str(error)) from error
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError, DBAPIError) as error:
        raise CannotStart(f"cannot open the database: {error}. Use a URL like sqlite:///ringfence.db.") from error


def _check_folder(db: str | None) -> None:
    """A mistake in an address would otherwise make folders, and an empty database in them."""
    file = None if db is None else sqlite_file(make_url(db))
    if file is not None and not file.parent.is_dir():
        raise CannotStart(f"there is no folder {file.parent} for the database {db}. Make it, or change --db.")


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
    if options.runner is RunnerName.FAKE:
        return Host(slots, slots, busy)
    try:
        if options.runner is RunnerName.SLURM:
            return Host(slots, gpu_pool(read_cluster(options.cluster)), lambda _: False)
        gpus = usable_gpus(options.gpus)
    except RunnerError as error:
        raise CannotStart(str(error)) from error
    for told in filter(None, (occupied(gpu.id) for gpu in gpus)):
        print(f"WARNING: in use: {told}. Tests get it once it is free; their own keep it.", file=sys.stderr)
    return Host(slots, Pool(gpus), busy)


def usable_gpus(wanted: str | None) -> list[Device]:
    """The GPUs that tests may have. Raises RunnerError."""
    devices = discover()
    source, names = "--gpus", wanted
    if names is None and devices:
        source, names = "CUDA_VISIBLE_DEVICES", os.environ.get("CUDA_VISIBLE_DEVICES")
    try:
        return devices if names is None else chosen(devices, names)
    except RunnerError as error:
        raise RunnerError(f"{source}={names}: {error}") from error


def _runner(options: Options) -> Runner:
    if options.runner is RunnerName.LOCAL:
        print(_UNSANDBOXED, file=sys.stderr)
    if options.runner is not RunnerName.FAKE:
        prepare_smoke(options.data_folder)  # what every machine can make for itself
    slots = options.slots or max(1, len(os.sched_getaffinity(0)) // 2)
    try:
        return make_runner(options, options.state / "runs", options.data_folder, slots)
    except RunnerError as error:
        instead = f" {_INSTEAD}" if options.runner is RunnerName.DOCKER else ""
        raise CannotStart(f"the {options.runner} runner cannot start: {error}.{instead}") from error


def make_runner(options: Options, runs: Path, data: Path, slots: int) -> Runner:
    """The chosen runner, on these folders. Raises RunnerError; CannotStart for a file that holds no settings."""
    match options.runner:
        case RunnerName.FAKE:
            return FakeRunner(slots=slots)
        case RunnerName.LOCAL:
            absent = [name for name, module in _TRAINER.items() if find_spec(module) is None]
            if absent:
                raise RunnerError(f"this Python has no {', '.join(absent)}: pip install 'ringfence[trainer]'")
            return LocalRunner(runs, data, slots)
        case RunnerName.DOCKER:
            from runner.container.runner import DockerRunner  # the engine's SDK: the other runners do without

            return DockerRunner(runs, data, slots, options.image, _sandbox_settings(options.sandbox))
        case RunnerName.SLURM:
            cluster = read_cluster(options.cluster)
            cluster = replace(cluster, slots=options.slots or cluster.slots)
            return SlurmRunner(cluster.folder / runs.relative_to(options.state), data, cluster)


def _sandbox_settings(file: Path | None) -> Sandbox:
    """The sandbox settings in a TOML file with the fields of `Sandbox`; the defaults without one."""
    if file is None:
        return Sandbox()
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
        return TypeAdapter(Annotated[Sandbox, ConfigDict(extra="forbid")]).validate_python(raw)
    except (OSError, ValueError) as error:
        allowed = ", ".join(field.name for field in fields(Sandbox))
        raise CannotStart(f"cannot use {file} as sandbox settings: {error}. Allowed keys: {allowed}.") from error
