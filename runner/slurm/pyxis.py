"""A sandbox made by Pyxis from an Enroot image. Written from its manual: nobody has tried it on a cluster yet."""

from __future__ import annotations

from runner.slurm.apptainer import inner_command
from runner.slurm.cluster import Cluster
from runner.slurm.folder import Room


def pyxis_command(cluster: Cluster, room: Room) -> tuple[str, ...]:
    """The command that runs a room's own in its sandbox, as a step of the job.

    Such a sandbox shares the node's network, and its processes are the step's: Slurm has to hold them to their memory.
    """
    mounts = [
        *(f"{source}:{target}:ro" for source, target in cluster.binds.items()),
        *(f"{mount.source}:{mount.target}{'' if mount.writable else ':ro'}" for mount in room.mounts),
    ]
    return (
        *("srun", "--overlap", "--nodes=1", "--ntasks=1", "--kill-on-bad-exit=1", f"--mem={room.memory_mb}M"),
        *(() if room.gpus else ("--gres=none",)),
        *(f"--container-image={cluster.image}", "--container-readonly", "--no-container-mount-home"),
        *("--no-container-remap-root", "--no-container-entrypoint", f"--container-mounts={','.join(mounts)}"),
        "--container-workdir=/ringfence/work",
        *inner_command(cluster, room),
    )
