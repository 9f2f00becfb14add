"""SlurmRunner: runs as jobs of a Slurm cluster, found again by their folders and their jobs' names."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import shlex
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from threading import Lock

from runner.folder.layout import lay_out
from runner.folder.runner import as_runner_error, lock_unless
from runner.folder.sandboxed import EXAM, OUT, Mount, SandboxRunner, drawn_user, inner_environment
from runner.protocol import Exit, ExitReason, Lack, Phase, RunnerError, RunSpec, RunState
from runner.slurm.cluster import Cluster
from runner.slurm.commands import Job, Slurm, SlurmAway
from runner.slurm.folder import Room, SlurmFolder
from runner.slurm.lacks import lacks_of
from runner.slurm.options import job_options
from runner.slurm.queue import Look, Queue
from runner.slurm.trial import Trial, try_cluster

log = logging.getLogger("ringfence.slurm")

_AGAIN_S = 5.0  # how long Slurm is left alone after it did not take a job, or did not end one
_GRACE_S = 10.0  # how long whoever holds a cancelled run may take to end it, before Slurm is asked to
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
        self._cluster = cluster
        self._slurm = Slurm(cluster.commands)
        self._queue = Queue(self._slurm)
        self._owner = hashlib.sha256(str(self._root).encode()).hexdigest()[:8]
        self._missed: dict[str, float] = {}
        """Since when Slurm does not know of runs that have not ended, or calls their jobs over, in Unix seconds."""
        self._asked: dict[str, float] = {}
        """When Slurm was last asked to do something about a run, by the monotonic clock."""
        self._trial_lock = Lock()

    # --- the port ---------------------------------------------------------------------------------------------------

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
                    self._hand_over(run)
                except SlurmAway as away:
                    log.warning("run %s waits for Slurm: %s", spec.run_id, away)
                except RunnerError:
                    (run.path / "accepted").unlink()
                    raise
            finally:
                os.close(lock)

    def _state(self, run_id: str) -> RunState:
        run, main = self._folder(run_id), self._folder(run_id.partition(".")[0])
        with as_runner_error(f"cannot read the state of run {run_id}"):
            if (state := run.ended()) or not run.path.exists():
                return state or RunState(Phase.UNKNOWN)
            accepted_at = main.accepted_at()
            if accepted_at is None and main.path.exists():
                return RunState(Phase.UNKNOWN)  # its submission was cut short: to be repeated
            look = self._queue.look()
            job = None if look is None else look.jobs.get(self._job_name(main))
            started = run.started()
            if look is not None and self._over(main, job, look, accepted_at or 0.0):
                return self._settled(run, main, job)
            self._see_to(run, main, job)
            waits = None if look is None or main.claimed else look.queued(self._job_name(main))
            return RunState(Phase.RUNNING, started_at=None if started is None else started[0], queued=waits)

    def _at_work(self, worker: str) -> bool:
        # Dismissals are for the job to see: the folders in which runs meet are on its node.
        return self._state(worker).phase is Phase.RUNNING

    def _cancel(self, run_id: str) -> None:
        super()._cancel(run_id)
        run, main = self._folder(run_id), self._folder(run_id.partition(".")[0])
        look = self._queue.look()
        if run.path.exists():
            self._see_to(run, main, None if look is None else look.jobs.get(self._job_name(main)))

    def pause(self, run_id: str) -> None:
        """Nothing: who else is on the node is for Slurm to say; `exclusive` in the cluster file keeps others away."""

    def resume(self, run_id: str) -> None:
        """Nothing, as nothing is ever frozen."""

    def describe(self) -> dict[str, str]:
        return {**self._trial().about, "runner": self.name, "sandbox": self._cluster.in_words()}

    def lacks(self) -> tuple[Lack, ...]:
        return lacks_of(self._cluster, self._trial(), root=os.getuid() == 0)

    def _let_go(self, run_id: str) -> None:
        self._missed.pop(run_id, None)
        self._asked.pop(run_id, None)

    def _folder(self, run_id: str) -> SlurmFolder:
        assert not run_id.startswith((".", "/")), run_id
        main = run_id.partition(".")[0]
        return SlurmFolder(self._root / run_id, self._cluster.node_folder / f"ringfence-{self._owner}-{main}")

    # --- jobs -------------------------------------------------------------------------------------------------------

    def _job_name(self, main: SlurmFolder) -> str:
        """The run's id, after the runner's own: several services may use a cluster."""
        return f"ringfence-{self._owner}-{main.path.name}"

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

    def _hand_over(self, run: SlurmFolder) -> None:
        """Submits the run's job. Whoever calls has its lock. Raises SlurmAway, and RunnerError if Slurm refuses it."""
        self._asked[run.path.name] = time.monotonic()
        arguments = (run.path, run.node, _text(self._cluster))
        program = shlex.join([self._cluster.python, "-P", "-m", "runner.slurm.job", *map(str, arguments)])
        options = job_options(self._cluster, self._job_name(run), run.rooms(), run.job_log)
        at = time.time()
        run.write_job(self._slurm.submit(options, f"#!/bin/sh\nexec {program}\n"), at)

    def _see_to(self, run: SlurmFolder, main: SlurmFolder, job: Job | None) -> None:
        """Does what is left to be done about a run that goes on: hand it over, or have its job ended."""
        name = main.path.name
        if time.monotonic() < self._asked.get(name, -_AGAIN_S) + _AGAIN_S:
            return
        with contextlib.suppress(SlurmAway):
            if run.cancel.exists() and run == main and job is not None and job.active:
                if not main.claimed or time.time() > run.cancel.stat().st_mtime + _GRACE_S:
                    self._asked[name] = time.monotonic()
                    self._slurm.cancel(job.id, job.name)
            elif job is None and main.job() is None and not main.claimed and not main.cancel.exists():
                lock = main.try_lock()
                if lock is not None:
                    try:
                        if main.job() is None and main.accepted_at() is not None:
                            self._hand_over(main)
                    finally:
                        os.close(lock)

    def _over(self, main: SlurmFolder, job: Job | None, look: Look, accepted_at: float) -> bool:
        """Whether nothing can be expected of a run's job any more."""
        name = main.path.name
        known = main.job()
        never_submitted = known is None and job is None and not main.claimed
        if never_submitted:
            return main.cancel.exists() and look.taken_at > accepted_at + _AGAIN_S
        if (job is not None and job.active) or look.taken_at <= max(accepted_at, known[1] if known else 0.0):
            self._missed.pop(name, None)
            return False
        since = self._missed.setdefault(name, look.taken_at)
        if not main.claimed and job is not None and main.cancel.exists():
            return True
        patience_s = _GRACE_S if main.cancel.exists() else self._cluster.lost_after_s
        return time.time() > max(since, main.last_sign_of_life()) + min(patience_s, self._cluster.lost_after_s)

    def _settled(self, run: SlurmFolder, main: SlurmFolder, job: Job | None) -> RunState:
        """Writes down the end of a run that its job did not write."""
        lock = run.try_lock()
        if lock is None:
            return RunState(Phase.RUNNING)  # somebody else is at it
        try:
            if state := run.ended():
                return state
            known, started = main.job(), run.started()
            word = job.state if job is not None else ""
            if not word and known is not None:
                word = self._slurm.accounted(known[0], self._job_name(main))
            end = Exit(ExitReason.LOST, detail=f"its job is over ({word or 'Slurm does not know it'}) and wrote no end")
            if run.cancel.exists() or main.cancel.exists():
                end = Exit(ExitReason.CANCELLED)
            elif word == "OUT_OF_MEMORY":
                end = Exit(ExitReason.MEMORY, detail=f"{sum(room.memory_mb for room in main.rooms())} MiB")
            run.cancel.touch()  # should something of it live on after all
            run.write_exit(end, None if started is None else started[0], time.time(), None)
        finally:
            os.close(lock)
        return run.ended() or RunState(Phase.RUNNING)

    # --- the trial --------------------------------------------------------------------------------------------------

    @cached_property
    def _tried(self) -> Trial:
        root = self._root.with_name(f".{self._root.name}-trial")
        return try_cluster(SlurmRunner(root, self._data_dir, self._cluster), root, self._slurm)

    def _trial(self) -> Trial:
        with self._trial_lock:
            return self._tried


def _text(cluster: Cluster) -> str:
    return json.dumps(dataclasses.asdict(cluster), default=str)
