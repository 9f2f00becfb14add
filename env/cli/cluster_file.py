"""The file that `--cluster` names: what an operator says about a Slurm cluster, checked key by key."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from runner.folder.untrusted import erase
from runner.pool import Device, Pool
from runner.protocol import RunnerError
from runner.slurm.cluster import Cluster

_AT_LEAST = {
    **{"slots": 1, "cpus": 1, "cpus_per_gpu": 1, "processes": 16, "disk_mb": 1, "tmp_mb": 1, "output_mb": 1},
    **{"gpus": 0, "time_margin_s": 0, "lost_after_s": 1},
}


def read_cluster(file: Path | None) -> Cluster:
    """The cluster that a file describes. Raises RunnerError, which names file and key."""
    if file is None:
        raise RunnerError("the slurm runner needs a cluster file: --cluster FILE (docs/cluster.md has its keys)")
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
        cluster = TypeAdapter(Cluster).validate_python(raw)
        known = [field.name for field in fields(Cluster)]
        for key in raw:
            if key not in known:
                raise RunnerError(f"{file}: {key}: there is no such key. Keys: {', '.join(known)}")
    except OSError as error:
        raise RunnerError(f"cannot read the cluster file {file}: {error.strerror}") from error
    except ValidationError as error:
        raise RunnerError(
            "; ".join(_told(file, one["loc"], one["type"], one["msg"]) for one in error.errors())
        ) from None
    except ValueError as error:
        raise RunnerError(f"{file}: {error}") from error
    for key, complaint in _complaints(cluster):
        raise RunnerError(f"{file}: {key}: {complaint}")
    return cluster


def gpu_pool(cluster: Cluster) -> Pool:
    """The GPUs that tests may have at once: which they are is for Slurm to say."""
    return Pool([Device(f"gpu-{number}", name=cluster.gres) for number in range(cluster.gpus)])


def clear_trials(cluster: Cluster) -> None:
    """Deletes what the doctor's trials have left in the shared folder."""
    for left in cluster.folder.glob("doctor-*"):
        erase(left)


def _told(file: Path, loc: tuple[int | str, ...], kind: str, message: str) -> str:
    words = "missing" if kind == "missing" else f"{message[:1].lower()}{message[1:]}"
    return f"{file}: {'.'.join(map(str, loc))}: {words}"


def _complaints(cluster: Cluster) -> list[tuple[str, str]]:
    """Keys that cannot be used as they are, and why."""
    found = [(key, f"must be at least {least}") for key, least in _AT_LEAST.items() if getattr(cluster, key) < least]
    found += [
        (key, f"{value} is no absolute path: nodes and this host name it alike")
        for key, value in (("folder", cluster.folder), ("node_folder", cluster.node_folder))
        if not value.is_absolute()
    ]
    if not cluster.image:
        found.append(("image", "missing: what sandboxes have as their root"))
    elif cluster.sandbox == "bubblewrap" and not Path(cluster.image).is_absolute():
        found.append(("image", f"{cluster.image} is no absolute path of a folder with an unpacked image"))
    found += [
        ("extra", f"{option!r} is no long option of sbatch, such as '--reservation=x'")
        for option in cluster.extra
        if not option.startswith("--")
    ]
    if cluster.sandbox == "pyxis" and not cluster.open_network:
        found.append(("sandbox", "Pyxis shares the node's network with sandboxes: accept it with open_network = true"))
    if cluster.sandbox != "pyxis" and cluster.open_network:
        found.append(("open_network", f"{cluster.sandbox} has no need of it"))
    if cluster.sandbox != "bubblewrap" and cluster.gpus and not cluster.confined_gpus:
        found.append(
            (
                "gpus",
                f"{cluster.sandbox} shows all GPUs of a node: say confined_gpus = true if the cluster keeps jobs apart",
            )
        )
    return found
