"""The sandboxes a site may have, each as what surrounds a run's command on the node."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from runner.folder.sandboxed import OUT
from runner.folder.unlinked import unlinked_bytes
from runner.gpus import device_nodes
from runner.processes.reap import descendants
from runner.processes.supervise import Enclosure
from runner.protocol import Exit, ExitReason, RunnerError
from runner.slurm.apptainer import apptainer_command
from runner.slurm.bubblewrap import bubblewrap_command, write_etc
from runner.slurm.cluster import Cluster
from runner.slurm.folder import Room, SlurmFolder
from runner.slurm.pyxis import pyxis_command
from runner.slurm.seccomp import compiled_filter

_SIGNAL = 128  # a sandbox reports a signal as this plus its number, as shells do
_ENTRY_BYTES = 1 << 10  # of memory, for every file in it
_WORD_S = 0.3  # how much later than its processes a job may hear that Slurm ends it
_KEPT = ("SLURM_CONF", "SLURM_JOB_ID", "SLURM_CLUSTER_NAME", "SLURM_NODELIST", "SLURM_JOB_NODELIST", "HOME", "USER")
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Site:
    """What all sandboxes of a job have in common."""

    cluster: Cluster
    node_folder: Path
    """A folder of the job's own on this node."""
    gpus: tuple[str, ...] = field(default_factory=lambda: _allocated(dict(os.environ)))
    """The GPUs that Slurm gave the job, by the driver's index."""

    @property
    def outer_environment(self) -> dict[str, str]:
        """That of the programs which make the sandbox: the run's own is on their command line."""
        return {"PATH": _SYSTEM_PATH, **{name: os.environ[name] for name in _KEPT if name in os.environ}}


class SandboxEnclosure(Enclosure):
    """A run in a sandbox of a job."""

    def __init__(self, command: tuple[str, ...], cancel: Path, stop_wanted: Callable[[], bool]) -> None:
        """`cancel` is there once the run is to stop; `stop_wanted` tells whether Slurm wants the job to."""
        self.command = command
        self._cancel = cancel
        self._stop_wanted = stop_wanted

    def interruption(self) -> Exit | None:
        if not self._stop_wanted():
            return None
        if self._cancel.exists():
            return Exit(ExitReason.CANCELLED)
        return Exit(ExitReason.LOST, detail="Slurm ended its job")

    def natural_end(self, returncode: int) -> Exit:
        if returncode == -signal.SIGTERM:  # from Slurm, unless the node's operator is at it
            time.sleep(_WORD_S)
        return self.interruption() or self._told_end(returncode)

    def _told_end(self, returncode: int) -> Exit:
        if returncode < 0:
            return Exit(ExitReason.SIGNALLED, -returncode)
        return _from_shell(returncode)


class BubblewrapEnclosure(SandboxEnclosure):
    """The same, where bubblewrap tells how far it came."""

    def __init__(
        self, command: tuple[str, ...], run: SlurmFolder, status: Path, in_memory: tuple[str, ...],
        stop_wanted: Callable[[], bool],
    ) -> None:  # fmt: skip
        """`status` is the file that bubblewrap writes to, `in_memory` the places inside that are memory."""
        super().__init__(command, run.cancel, stop_wanted)
        self._run = run
        self._status = status
        self._in_memory = in_memory
        self._memory_device = _memory_device()

    def memory_files(self) -> int:
        anonymous = unlinked_bytes((process.pid for process in descendants()), self._memory_device)
        child = _told(self._status).get("child-pid")
        return anonymous + sum(_held(f"/proc/{child}/root{place}") for place in self._in_memory if child)

    def _told_end(self, returncode: int) -> Exit:
        code = _told(self._status).get("exit-code")
        if code is not None:
            return _from_shell(code)
        if returncode < 0:
            return Exit(ExitReason.SIGNALLED, -returncode)
        said = self._run.stream("stderr").read_text(errors="replace").splitlines()[-1:]
        return Exit(ExitReason.LOST, detail=f"no sandbox could be made: {''.join(said)[:200] or returncode}")


def enclosure(site: Site, run: SlurmFolder, room: Room, *, stop_wanted: Callable[[], bool]) -> SandboxEnclosure:
    """The sandbox of one room. Raises RunnerError, NoFilter and OSError where it cannot be made."""
    gpus = [site.gpus[number] for number in room.gpus if number < len(site.gpus)]
    if len(gpus) < len(room.gpus):
        raise RunnerError(f"Slurm gave the job {len(site.gpus)} GPUs, and {run.path.name} wants number {room.gpus[-1]}")
    if site.cluster.sandbox == "apptainer":
        return SandboxEnclosure(apptainer_command(site.cluster, room), run.cancel, stop_wanted)
    if site.cluster.sandbox == "pyxis":
        return SandboxEnclosure(pyxis_command(site.cluster, room), run.cancel, stop_wanted)
    own = site.node_folder / f"of-{room.run_id}"
    own.mkdir()
    write_etc(own / "etc")
    (own / "filter").write_bytes(compiled_filter())
    command = bubblewrap_command(
        site.cluster,
        room,
        filter_file=own / "filter",
        status_file=own / "status",
        etc=own / "etc",
        nodes=_nodes(gpus),
        root=os.getuid() == 0,
    )
    in_memory = ("/tmp", "/dev/shm", *(() if room.has_out else (OUT,)))
    return BubblewrapEnclosure(command, run, own / "status", in_memory, stop_wanted)


def _nodes(gpus: list[str]) -> list[str]:
    """The device nodes of these GPUs; none where there is no driver, as for the made-up GPUs of a test."""
    if not gpus or not Path("/proc/driver/nvidia/gpus").exists():
        return []
    return device_nodes(gpus)


def _allocated(environment: dict[str, str]) -> tuple[str, ...]:
    """The indices of the job's GPUs: `SLURM_JOB_GPUS` counts them as the node does, whatever the job can see."""
    said = environment.get("SLURM_JOB_GPUS") or environment.get("CUDA_VISIBLE_DEVICES") or ""
    return tuple(one for one in said.split(",") if one)


def _from_shell(code: int) -> Exit:
    if _SIGNAL < code <= _SIGNAL + signal.SIGRTMAX:
        return Exit(ExitReason.SIGNALLED, code - _SIGNAL)
    return Exit(ExitReason.EXITED, code)


def _told(status: Path) -> dict[str, int]:
    """All that bubblewrap has written so far: JSON objects, one a line."""
    told: dict[str, int] = {}
    try:
        lines = status.read_text().splitlines()
    except FileNotFoundError:
        return told
    for line in lines:
        try:
            told.update(json.loads(line))
        except ValueError:
            continue  # it is being written
    return told


def _held(place: str) -> int:
    try:
        about = os.statvfs(place)
    except OSError:
        return 0  # not mounted yet, or over
    return (about.f_blocks - about.f_bfree) * about.f_frsize + (about.f_files - about.f_ffree) * _ENTRY_BYTES


def _memory_device() -> int:
    """The device number of files in memory that have no name (memfd)."""
    fd = os.memfd_create("probe")
    try:
        return os.fstat(fd).st_dev
    finally:
        os.close(fd)
