"""What sandboxes do without on a cluster, for its operator."""

from __future__ import annotations

from collections.abc import Iterator

from runner.protocol import Lack
from runner.slurm.cluster import Cluster
from runner.slurm.trial import Trial


def lacks_of(cluster: Cluster, trial: Trial, *, root: bool) -> tuple[Lack, ...]:
    """`root`: whether jobs are root's."""
    return tuple(_lacks(cluster, trial, root))


def _lacks(cluster: Cluster, trial: Trial, root: bool) -> Iterator[Lack]:
    if not trial.done:
        yield Lack(
            "trial",
            "no trial job has run yet, as all nodes are taken: whether sandboxes can be made is not known",
            "try again when there is a free node",
        )
    yield Lack(
        "sized outputs",
        "output folders have no file system of their own: what runs write is measured ten times a second",
        "give the service's user a quota on the shared folder",
    )
    if not root:
        yield Lack(
            "user ids",
            "all runs have the service's user id outside their sandboxes, because only root can hand out others",
            "set exclusive = true in the cluster file, so that no other test is on the node",
        )
    if not cluster.exclusive:
        yield Lack(
            "neighbours",
            "other jobs may be on the node during an evaluation, other tests among them",
            "set exclusive = true in the cluster file",
        )
    if not trial.confined:
        yield Lack(
            "control groups",
            "Slurm does not confine the memory of jobs: it is looked at ten times a second, and what lies in the "
            "buffers of pipes and sockets is charged to nobody",
            "set ProctrackType=proctrack/cgroup, TaskPlugin=task/cgroup and ConstrainRAMSpace=yes",
        )
    if cluster.sandbox != "bubblewrap":
        yield Lack(
            "system calls",
            f"{cluster.sandbox} sandboxes have neither our list of system calls nor masked files under /proc and /sys; "
            "nobody has tried them on a cluster yet",
            "use bubblewrap",
        )
    if cluster.sandbox == "pyxis":
        yield Lack(
            "network",
            "Pyxis sandboxes share the node's network, and steps end when Slurm ends them: a dismissed scorer may "
            "outlive its dismissal for a moment",
            "use bubblewrap",
        )
