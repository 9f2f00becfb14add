"""A sandbox made by Apptainer. Written from its manual: nobody has tried it on a cluster yet."""

from __future__ import annotations

from runner.slurm.cluster import Cluster
from runner.slurm.folder import Room


def apptainer_command(cluster: Cluster, room: Room) -> tuple[str, ...]:
    """The command that runs a room's own in its sandbox.

    `--nv` shows a sandbox all GPUs that the job may use, so that the cluster's control groups have to keep it from
    those of other jobs; within the job the environment says which are the room's.
    """
    binds = [
        *(f"{source}:{target}:ro" for source, target in cluster.binds.items()),
        *(f"{mount.source}:{mount.target}:{'rw' if mount.writable else 'ro'}" for mount in room.mounts),
    ]
    return (
        *("apptainer", "exec", "--containall", "--no-home", "--net", "--network", "none", "--no-privs"),
        *(("--nv",) if room.gpus else ()),
        *(word for bind in binds for word in ("--bind", bind)),
        *("--pwd", "/ringfence/work", cluster.image),
        *inner_command(cluster, room),
    )


def inner_command(cluster: Cluster, room: Room) -> tuple[str, ...]:
    """The room's own command as the first of a sandbox which neither scrubs the environment nor counts processes."""
    visible = {"CUDA_VISIBLE_DEVICES": ",".join(map(str, room.gpus))}
    env = [f"{name}={value}" for name, value in sorted({**room.env, **visible}.items())]
    return ("env", "-i", *env, "prlimit", f"--nproc={cluster.processes}", "--", *room.command)
