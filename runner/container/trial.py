"""What the engine and this host give a sandbox, tried out in a container that is nobody's run."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

from runner.container.body import ContainerHost, container_body
from runner.container.disk import NoDisk, detach_disk, make_disk
from runner.container.engine import Engine
from runner.container.folder import ContainerFolder
from runner.folder.sandboxed import OUT, Mount
from runner.folder.untrusted import erase
from runner.hardware import FLA
from runner.protocol import Lack, RunSpec

_MARK = "mark"
_SCRIPT = f"""
import importlib.metadata as m, json, os, platform
def version(name):
    try: return m.version(name)
    except m.PackageNotFoundError: return "none"
marked = os.path.exists("{OUT}/{_MARK}")
found = {{name: version(name) for name in ("torch", "{FLA}")}}
print(json.dumps({{**found, "python": platform.python_version(), "marked": marked}}))
"""
_SIZE_MB = 1


@dataclass(frozen=True, kw_only=True)
class HostTrial:
    """What was found."""

    versions: dict[str, str]
    """Of Python, torch and flash-linear-attention in the image, of the image and of the engine."""
    sized_output: bool
    """Whether a run's output folder can be a file system of its own size."""
    lacks: tuple[Lack, ...]
    """What the sandbox does without on this host."""


def try_host(engine: Engine, host: ContainerHost, run: ContainerFolder, name: str, user: int) -> HostTrial:
    """Starts a container called `name` that sees the folder of `run`, and removes both. Raises EngineError."""
    no_disk = ""
    run.out.mkdir(parents=True)
    try:
        try:
            make_disk(run, _SIZE_MB)
            (run.out / _MARK).touch()
        except (NoDisk, OSError) as error:
            no_disk = str(error)
        spec = RunSpec("versions", ("python", "-c", _SCRIPT), memory_mb=512)
        body = container_body(host, spec, user, [Mount(run.out, OUT)], [], time.time())
        del body["Labels"]
        warnings, found = _run(engine, name, body)
    finally:
        detach_disk(run)
        erase(run.path)
    if (marked := found.pop("marked", "")) != "True":
        no_disk = no_disk or ("the engine does not see what the service mounts" if marked else "a trial said nothing")
    about = engine.about()
    return HostTrial(
        versions={**found, "image": host.image, "engine": engine.version()},
        sized_output=not no_disk,
        lacks=tuple(_lacks(no_disk, str(about.get("CgroupVersion", "1")), warnings)),
    )


def _run(engine: Engine, name: str, body: dict[str, object]) -> tuple[list[str], dict[str, str]]:
    """The engine's warnings, and what the container printed; without Python there, no mark is seen either."""
    engine.remove(name)  # of a service that was killed while it looked
    try:
        warnings = engine.create(name, body)
        engine.start(name)
        engine.wait(name)
        with engine.log(name, "stdout", follow=False) as chunks:
            printed = b"".join(chunks)
    finally:
        engine.remove(name)
    try:
        found: dict[str, object] = json.loads(printed)
    except ValueError:
        found = {"python": "none", "torch": "none"}
    return warnings, {key: str(value) for key, value in found.items()}


def _lacks(no_disk: str, cgroup: str, warnings: list[str]) -> Iterator[Lack]:
    if no_disk:
        yield Lack(
            "sized outputs",
            f"output folders have no file system of their own ({no_disk}): what runs write is measured ten times a "
            "second, and fills the host's disk meanwhile",
            "run the service as root of the engine's host, with mkfs.ext4 and loop devices",
        )
    if os.getuid() != 0:
        yield Lack(
            "user ids", "all runs have this user's id, because only root can hand out others", "run the service as root"
        )
    if cgroup != "2":
        yield Lack(
            "control groups",
            "control groups have version 1: memory in socket buffers is charged to nobody",
            "boot the host with systemd.unified_cgroup_hierarchy=1",
        )
    if any("I/O weight" in warning for warning in warnings):
        yield Lack(
            "I/O weights",
            "the kernel does not weigh disk I/O: a run that flushes without end slows the service",
            "choose the I/O scheduler bfq, or give the database a disk of its own",
        )
