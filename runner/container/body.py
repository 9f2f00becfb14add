"""A run as the engine is asked for it: everything that keeps the sandbox tight is in this one value.

Field names are those of the Engine API's ContainerCreate.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runner.container.sandbox import Sandbox
from runner.folder.sandboxed import OUT, WORK, Mount, inner_environment
from runner.protocol import RunSpec
from runner.surface import masked_paths, seccomp_profile

RUN, OWNER = "ringfence.run", "ringfence.owner"
"""The labels of a container that name its run and the runner it belongs to."""

_FIRST = ("sh", "-c", 'unset PWD; "$@"; exit $?', "sh")
"""The sandbox's first process: it waits for the run and reaps orphans. The engine's own is one file of the host, bound
into every sandbox: whoever locks or changes the state of such a file is seen by all."""
_CPU_PERIOD = 1_000_000_000
_IO_WEIGHT = 50  # of 10 to 1000, 500 without a word: what the service flushes goes first, where the kernel weighs it
_WORKERS_OUT_MB = 16


@dataclass(frozen=True)
class ContainerHost:
    """What is the same for every run in a container."""

    image: str
    owner: str
    """Identity of the runner, so that several can share an engine."""
    cpus: float
    sandbox: Sandbox


def container_body(
    host: ContainerHost, spec: RunSpec, user: int, mounts: Sequence[Mount], nodes: Sequence[str], created_at: float
) -> dict[str, Any]:
    """The request that creates the run's container.

    `user` is user and group id in the sandbox. `nodes` are the device nodes to pass; when there are none, the GPUs of
    `spec` are asked of the toolkit. `created_at` is in Unix seconds.
    """
    sandbox = host.sandbox
    return {
        "Image": host.image,
        "Entrypoint": [],
        "Cmd": [*_FIRST, *spec.command],
        "WorkingDir": WORK,
        "User": f"{user}:{user}",
        "Env": [f"{name}={value}" for name, value in _environment(host, spec, mounts, nodes).items()],
        # Without a network no other name resolves, and libraries ask for that of their own host.
        "Hostname": "localhost",
        "Labels": _labels(host, spec, created_at),
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": {
            "NetworkMode": "none",
            "IpcMode": "private",
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges", f"seccomp={seccomp_profile()}"],
            "MaskedPaths": masked_paths(os.cpu_count() or 1),
            "Privileged": False,
            "Init": False,
            **({"Runtime": sandbox.runtime} if sandbox.runtime else {}),
            "Memory": spec.memory_mb << 20,
            "MemorySwap": spec.memory_mb << 20,
            "NanoCpus": int(host.cpus * _CPU_PERIOD),
            "PidsLimit": sandbox.processes,
            "BlkioWeight": _IO_WEIGHT,
            "OomScoreAdj": 500,  # should the host itself run short, a run goes first
            "ShmSize": _shm_mb(sandbox, spec) << 20,
            "Tmpfs": _tmpfs(sandbox, spec),
            "Ulimits": [
                {"Name": "core", "Soft": 0, "Hard": 0},
                {"Name": "fsize", "Soft": sandbox.disk_mb << 20, "Hard": sandbox.disk_mb << 20},
            ],
            "Mounts": [_mount(mount) for mount in [*_binds(sandbox), *mounts]],
            "Devices": [{"PathOnHost": node, "PathInContainer": node, "CgroupPermissions": "rw"} for node in nodes],
            "DeviceRequests": _device_requests(spec, nodes),
            "LogConfig": _log_config(sandbox),
            "RestartPolicy": {"Name": "no"},
            "AutoRemove": False,  # a service that comes back wants its exit status and its output
        },
    }


def _environment(host: ContainerHost, spec: RunSpec, mounts: Sequence[Mount], nodes: Sequence[str]) -> dict[str, str]:
    toolkit = bool(spec.device_ids) and not nodes
    defaults = {
        # On a host whose default runtime is NVIDIA's an image may ask for all GPUs by itself.
        **({} if toolkit else {"NVIDIA_VISIBLE_DEVICES": "void"}),
        # Inside all of the host's processors are seen: as many threads would only wait for one another.
        "OMP_NUM_THREADS": str(max(1, int(host.cpus))),
        **host.sandbox.environment,
    }
    return inner_environment(spec, mounts, defaults)


def _labels(host: ContainerHost, spec: RunSpec, created_at: float) -> dict[str, str]:
    return {
        RUN: spec.run_id,
        OWNER: host.owner,
        "ringfence.deadline": str(math.ceil(created_at + spec.timeout_s)),
        "ringfence.devices": ",".join(spec.device_ids),
        "ringfence.spec": hashlib.sha256(json.dumps(asdict(spec), sort_keys=True).encode()).hexdigest(),
    }


def _binds(sandbox: Sandbox) -> list[Mount]:
    return [Mount(Path(source), target) for source, target in sandbox.binds.items()]


def _mount(mount: Mount) -> dict[str, Any]:
    return {
        "Type": "bind",
        "Source": str(mount.source),
        "Target": mount.target,
        "ReadOnly": not mount.writable,
        "BindOptions": {"Propagation": "rprivate"},
    }


def _shm_mb(sandbox: Sandbox, spec: RunSpec) -> int:
    if sandbox.shm_mb is not None:
        return sandbox.shm_mb
    return 8192 if spec.device_ids else 1024


def _tmpfs(sandbox: Sandbox, spec: RunSpec) -> dict[str, str]:
    # Kernels compiled for a GPU are loaded from the compiler's cache, which is there.
    execution = "exec" if spec.device_ids else "noexec"
    places = {"/tmp": f"rw,{execution},nosuid,nodev,size={sandbox.tmp_mb}m,mode=1777"}
    if spec.is_worker:  # nobody reads what it writes, so it gets nothing of the host's to write on
        places[OUT] = f"rw,noexec,nosuid,nodev,size={_WORKERS_OUT_MB}m,nr_inodes=256,mode=1777"
    return places


def _device_requests(spec: RunSpec, nodes: Sequence[str]) -> list[Mapping[str, Any]]:
    if not spec.device_ids or nodes:
        return []
    return [{"Driver": "nvidia", "DeviceIDs": list(spec.device_ids), "Capabilities": [["gpu"]]}]


def _log_config(sandbox: Sandbox) -> dict[str, Any]:
    # Two files, each larger than what a run may print: the first is only given up when the run is about to be killed
    # for it, so that everything before can be read from its beginning at any time.
    size = f"{4 * sandbox.output_mb}m"
    return {"Type": "local", "Config": {"max-size": size, "max-file": "2", "compress": "false"}}
