"""What a job asks of Slurm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from runner.slurm.cluster import Cluster
from runner.slurm.folder import Room

_OWN_MEMORY_MB = 256
"""For the job's own program, and once more for each process that holds a run."""


def job_options(cluster: Cluster, name: str, rooms: Sequence[Room], log: Path) -> list[str]:
    """The options of `sbatch` for a run and its workers, which are `rooms`, on one node."""
    gpus = len({gpu for room in rooms for gpu in room.gpus})
    cpus = cluster.cpus_per_gpu * gpus if gpus else cluster.cpus * len(rooms)
    minutes = math.ceil((rooms[0].timeout_s + cluster.time_margin_s) / 60)  # Slurm counts whole ones
    memory = sum(room.memory_mb for room in rooms) + _OWN_MEMORY_MB * (1 + len(rooms))
    named = {
        "partition": cluster.partition,
        "account": cluster.account,
        "qos": cluster.qos,
        "constraint": cluster.constraint,
        "gres": f"{cluster.gres}:{gpus}" if gpus else "",
        "mem": f"{memory}M" if cluster.memory else "",
    }
    return [
        *(f"--job-name={name}", "--nodes=1", "--ntasks=1", f"--cpus-per-task={cpus}", f"--time={minutes}"),
        *("--no-requeue", "--export=ALL", "--chdir=/", "--open-mode=append", f"--output={log}"),
        *(f"--{option}={value}" for option, value in named.items() if value),
        *(("--exclusive",) if cluster.exclusive else ()),
        *cluster.extra,
    ]
