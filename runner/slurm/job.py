"""`python -m runner.slurm.job RUN_FOLDER NODE_FOLDER CLUSTER`: a job's own program: holds a run and its workers.

It is the batch script of the job. Every run of the job is held by a process forked from this one, which writes the
run's end into the shared folder; service and Slurm may both be gone meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from runner.folder.run_folder import Limits, Order, write_state
from runner.folder.untrusted import create_plain_file, erase
from runner.hardware import describe_host
from runner.inside.names import DISMISSED, GONE
from runner.processes.reap import die_with_parent
from runner.processes.supervise import supervise
from runner.protocol import Exit, ExitReason
from runner.slurm.cluster import Cluster
from runner.slurm.enclosures import Site, enclosure
from runner.slurm.folder import Room, SlurmFolder
from runner.slurm.node_folder import take_node_folder

_TICK_S = 0.02
_LIFE_S = 5.0
"""How often a job says in the shared folder that it lives."""
_OF_THE_SANDBOX = 8
"""Processes that build and hold a sandbox."""


class _Stop:
    """Whether Slurm has told this process to end."""

    wanted = False

    def __call__(self, *_: Any) -> None:
        self.wanted = True


def main() -> None:
    """Do the job whose folders the command line names."""
    path, node, cluster = Path(sys.argv[1]), Path(sys.argv[2]), cluster_from(sys.argv[3])
    run = SlurmFolder(path, node)
    stop = _Stop()
    signal.signal(signal.SIGTERM, stop)
    job = f"{os.environ.get('SLURM_JOB_ID', '0')}.{os.environ.get('SLURM_RESTART_COUNT', '0')}"
    if not run.claim(job):
        print(f"job {job} finds the run begun by another")
        return
    write_state(run.path / "node", {**describe_host(), "node": socket.gethostname(), "confined": _confined()})
    rooms = run.rooms()
    lock = take_node_folder(node)
    try:
        for room in rooms[1:]:
            place = run.meet / room.run_id.partition(".")[2]
            place.mkdir(parents=True)
            if os.getuid() == 0:
                os.chown(place, rooms[0].user, rooms[0].user)
        _hold_all([SlurmFolder(path.with_name(room.run_id), node) for room in rooms], rooms, cluster, stop)
    finally:
        erase(node)
        os.close(lock)


def _confined() -> bool:
    """Whether Slurm keeps the job in a control group of its own that limits its memory."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    groups = [line.split(":", 2) for line in lines]
    return any("job_" in path for _, controllers, path in groups if not controllers or "memory" in controllers)


def cluster_from(text: str) -> Cluster:
    """The cluster as the service wrote it on the command line."""
    raw = json.loads(text)
    return Cluster(**{**raw, "folder": Path(raw["folder"]), "node_folder": Path(raw["node_folder"])})


def _hold_all(runs: list[SlurmFolder], rooms: list[Room], cluster: Cluster, stop: _Stop) -> None:
    site = Site(cluster, runs[0].node)
    holders = {_fork(run, room, site, stop): run for run, room in zip(runs, rooms, strict=True)}
    told, life_due = False, 0.0
    while holders:
        if time.monotonic() >= life_due:
            runs[0].show_life()
            life_due = time.monotonic() + _LIFE_S
        if stop.wanted and not told:
            told = True
            for pid in holders:
                os.kill(pid, signal.SIGTERM)  # whom Slurm may not have told
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid in holders:
            _ended(holders.pop(pid), status)
        if runs[0] not in holders.values():
            for run in holders.values():
                create_plain_file(run.cancel)
        _let_dismissed_go(runs[1:], list(holders.values()))
        if not pid:
            time.sleep(_TICK_S)


def _fork(run: SlurmFolder, room: Room, site: Site, stop: _Stop) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        die_with_parent()
        if os.getppid() != parent:
            os._exit(1)
        limits = Limits(
            # Those of the sandbox itself count here, and not for the limit that holds inside, which comes first.
            processes=site.cluster.processes + _OF_THE_SANDBOX,
            disk_mb=site.cluster.disk_mb,
            stream_bytes=site.cluster.output_mb << 20,
        )
        around = enclosure(site, run, room, stop_wanted=lambda: stop.wanted)
        order = Order(
            command=around.command, env=site.outer_environment, timeout_s=room.timeout_s, memory_mb=room.memory_mb,
            limits=limits,
        )  # fmt: skip
        run.write_order(order)
        supervise(run, around)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def _ended(run: SlurmFolder, status: int) -> None:
    """Writes down the end of a run whose holder did not."""
    if run.ended() is None:
        why = run.last_words() or f"wait status {status}"
        with contextlib.suppress(OSError):
            run.write_exit(Exit(ExitReason.LOST, detail=f"its holder broke down: {why}"), None, time.time(), None)


def _let_dismissed_go(workers: list[SlurmFolder], alive: list[SlurmFolder]) -> None:
    for run in workers:
        place = run.meet / run.path.name.partition(".")[2]
        if (place / DISMISSED).exists():
            if run in alive:
                create_plain_file(run.cancel)
            else:
                create_plain_file(place / GONE)


if __name__ == "__main__":
    main()
