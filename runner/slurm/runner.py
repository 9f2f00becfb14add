"""SlurmRunner: runs as jobs of a Slurm cluster, found again by their folders and their jobs' names."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from secrets import token_hex
from threading import Lock

from runner.folder.layout import lay_out
from runner.folder.runner import as_runner_error, lock_unless
from runner.folder.sandboxed import EXAM, OUT, Mount, SandboxRunner, drawn_user, inner_environment
from runner.protocol import Exit, ExitReason, Lack, Phase, RunnerError, RunSpec, RunState
from runner.slurm.cluster import Cluster
from runner.slurm.commands import Slurm, SlurmAway
from runner.slurm.folder import Room, SlurmFolder
from runner.slurm.jobs import Jobs
from runner.slurm.lacks import lacks_of
from runner.slurm.trial import Trial, try_cluster

log = logging.getLogger("ringfence.slurm")

_PATH = "/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class SlurmRunner(SandboxRunner):
    """Runs commands on the nodes of a cluster, each run and its workers as one job on one node, in sandboxes.

    All state is in the run folders `root/<run_id>/`, which the nodes see by the same path. A run's end is what its job
    wrote there; Slurm is asked for what goes on, and for ends that nobody wrote. That Slurm does not answer, or does
    not know a job, is never taken for a run's failure: such a run goes on until it shows no sign of life any more, and
    is then lost.
    """

    name = "slurm"

    def __init__(self, root: Path, data_dir: Path, cluster: Cluster) -> None:
        super().__init__(root, data_dir)
        self.slots = cluster.slots
        if cluster.open_network:
            self.name = "slurm-open"  # no sandbox as the others are: such rows have boards of their own
        self._cluster = cluster
        self._slurm = Slurm(cluster.commands)
        self._owner = _owner(self._root)
        self._jobs = Jobs(self._slurm, cluster, self._root, self._owner)
        self._trial_lock = Lock()

    def submit(self, spec: RunSpec) -> None:
        """All at once: a run and its workers are one job. While Slurm is away the run waits for it."""
        self._submit(spec)

    def _submit(self, spec: RunSpec) -> None:
        run = self._folder(spec.run_id)
        with as_runner_error(f"cannot start run {spec.run_id}"):
            if run.accepted_at() is not None:
                return
            every = (spec, *spec.workers)
            gpus = {gpu: at for at, gpu in enumerate(sorted({gpu for each in every for gpu in each.device_ids}))}
            rooms = [self._room(self._folder(each.run_id), each, gpus) for each in every]
            run.path.mkdir(exist_ok=True, mode=0o700)
            lock = lock_unless(lambda: run.accepted_at() is not None, run)
            if lock is None:
                return
            try:
                if self._lay_exam(run, spec):
                    room = rooms[0]
                    mounts = (*room.mounts, Mount(run.exam, EXAM))
                    rooms[0] = dataclasses.replace(room, mounts=mounts, env={**room.env, "EXAM_DIR": EXAM})
                for each, room in zip(every, rooms, strict=True):
                    folder = self._folder(each.run_id)
                    folder.path.mkdir(exist_ok=True, mode=0o700)
                    lay_out(folder, each.files)
                    if os.getuid() == 0:
                        for place in (folder.out, folder.scratch):
                            os.chown(place, room.user, room.user)
                run.accept(rooms, time.time())
                try:
                    self._jobs.hand_over(run)
                except SlurmAway as away:
                    log.warning("run %s waits for Slurm: %s", spec.run_id, away)
                except RunnerError:
                    (run.path / "accepted").unlink()
                    raise
            finally:
                os.close(lock)

    def _state(self, run_id: str) -> RunState:
        run, main = self._folder(run_id), self._main(run_id)
        with as_runner_error(f"cannot read the state of run {run_id}"):
            if (state := run.ended()) or not run.path.exists():
                return state or RunState(Phase.UNKNOWN)
            if main.accepted_at() is None and main.path.exists():
                return RunState(Phase.UNKNOWN)  # its submission was cut short: to be repeated
            if self._jobs.over(main):
                return self._settled(run, main)
            self._jobs.see_to(main)
            started = run.started()
            waits = self._jobs.queued(main)
            return RunState(Phase.RUNNING, started_at=None if started is None else started[0], queued=waits)

    def _at_work(self, worker: str) -> bool:
        # Dismissals are for the job to see: the folders in which runs meet are on its node.
        return self._state(worker).phase is Phase.RUNNING

    def _cancel(self, run_id: str) -> None:
        super()._cancel(run_id)
        if (main := self._main(run_id)).path.exists():
            self._jobs.see_to(main)

    def pause(self, run_id: str) -> None:
        """Nothing: who else is on the node is for Slurm to say; `exclusive` in the cluster file keeps others away."""

    def resume(self, run_id: str) -> None:
        """Nothing, as nothing is ever frozen."""

    def describe(self) -> dict[str, str]:
        return {**self._trial().about, "runner": self.name, "sandbox": self._cluster.in_words()}

    def lacks(self) -> tuple[Lack, ...]:
        return lacks_of(self._cluster, self._trial(), root=os.getuid() == 0)

    def _let_go(self, run_id: str) -> None:
        self._jobs.forget(self._folder(run_id))

    def _folder(self, run_id: str) -> SlurmFolder:
        assert not run_id.startswith((".", "/")), run_id
        main = run_id.partition(".")[0]
        return SlurmFolder(self._root / run_id, self._cluster.node_folder / f"ringfence-{self._owner}-{main}")

    def _main(self, run_id: str) -> SlurmFolder:
        """The folder of the run that a worker serves; of any other run its own."""
        return self._folder(run_id.partition(".")[0])

    def _room(self, run: SlurmFolder, spec: RunSpec, gpus: Mapping[str, int]) -> Room:
        """`gpus`: the ids of all GPUs of the job, and their places among those that Slurm will give it."""
        mounts = self._mounts(run, spec)
        if self._cluster.sandbox != "bubblewrap":  # which has memory for these
            mounts.append(Mount(run.scratch, "/tmp", writable=True))
            if spec.is_worker:
                mounts.append(Mount(run.out, OUT, writable=True))
        processes = self._cluster.cpus_per_gpu if spec.device_ids else self._cluster.cpus
        defaults = {
            "PATH": _PATH,
            "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": str(processes),
            **self._cluster.environment,
        }
        return Room(
            run_id=spec.run_id,
            command=spec.command,
            env=inner_environment(spec, mounts, defaults),
            mounts=tuple(mounts),
            gpus=tuple(gpus[gpu] for gpu in spec.device_ids),
            has_out=any(mount.target == OUT for mount in mounts),
            user=drawn_user(spec.upstream or spec.run_id),
            timeout_s=spec.timeout_s,
            memory_mb=spec.memory_mb,
        )

    def _settled(self, run: SlurmFolder, main: SlurmFolder) -> RunState:
        """Writes down the end of a run that its job did not write."""
        lock = run.try_lock()
        if lock is None:
            return RunState(Phase.RUNNING)  # somebody else is at it
        try:
            if state := run.ended():
                return state
            cancelled = run.cancel.exists() or main.cancel.exists()
            end = Exit(ExitReason.CANCELLED) if cancelled else self._jobs.end(main)
            run.cancel.touch()  # should something of it live on after all
            started = run.started()
            run.write_exit(end, None if started is None else started[0], time.time(), None)
        finally:
            os.close(lock)
        return run.ended() or RunState(Phase.RUNNING)

    @cached_property
    def _tried(self) -> Trial:
        root = self._root.with_name(f".{self._root.name}-trial")
        return try_cluster(SlurmRunner(root, self._data_dir, self._cluster), root, self._slurm)

    def _trial(self) -> Trial:
        with self._trial_lock:
            return self._tried


def _owner(root: Path) -> str:
    """The name of whoever runs in this folder: drawn once, so that no two have the same, and kept beside it."""
    file, draft = root.with_name(f".{root.name}-owner"), root.with_name(f".{root.name}-owner-{token_hex(4)}")
    if not file.exists():
        draft.write_text(token_hex(4))
        with contextlib.suppress(FileExistsError):
            os.link(draft, file)
        draft.unlink()
    return file.read_text()
