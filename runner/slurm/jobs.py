"""The jobs of a service's runs: handed over, found again by name, and ended."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shlex
import time
from pathlib import Path

from runner.protocol import Exit, ExitReason, Queued, RunnerError
from runner.slurm.cluster import Cluster
from runner.slurm.commands import Job, Slurm, SlurmAway
from runner.slurm.folder import SlurmFolder
from runner.slurm.options import job_options
from runner.slurm.queue import Look, Queue

_AGAIN_S = 5.0  # how long Slurm is left alone after it did not take a job, or did not end one
_GRACE_S = 10.0  # how long whoever holds a cancelled run may take to end it, before Slurm is asked to


class Jobs:
    """One job for each run and its workers. A run is named by its folder; jobs are told apart by their names, because
    Slurm uses ids again, and may not have told the id of a job that it took.
    """

    def __init__(self, slurm: Slurm, cluster: Cluster, root: Path, owner: str) -> None:
        """`root` holds the runs' folders; `owner` is in the names of all their jobs: several services may use a
        cluster.
        """
        self._root = root
        self._slurm = slurm
        self._cluster = cluster
        self._owner = owner
        self._queue = Queue(slurm)
        self._missed: dict[str, float] = {}
        """Since when Slurm does not know of runs that have not ended, or calls their jobs over, in Unix seconds."""
        self._asked: dict[str, float] = {}
        """When Slurm was last asked to do something about a run, in Unix seconds."""
        self._orphans: dict[str, float] = {}
        """Since when there is no folder of runs whose jobs go on, in Unix seconds."""
        self._cleared_at = 0.0

    def hand_over(self, main: SlurmFolder) -> None:
        """Submits a run's job. Whoever calls has the run's lock. Raises SlurmAway, and RunnerError if Slurm refuses."""
        at = self._asked[main.path.name] = time.time()
        cluster = json.dumps(dataclasses.asdict(self._cluster), default=str)
        program = [self._cluster.python, "-P", "-m", "runner.slurm.job", str(main.path), str(main.node), cluster]
        options = job_options(self._cluster, self._name(main), main.rooms(), main.job_log)
        main.write_job(self._slurm.submit(options, f"#!/bin/sh\nexec {shlex.join(program)}\n"), at)

    def see_to(self, main: SlurmFolder) -> None:
        """Does what is left to be done about a run that goes on: hands it over, or has its job ended."""
        look, job = self._look(main)
        asked = self._asked.get(main.path.name, 0.0)
        if time.time() < asked + _AGAIN_S or look is None or look.taken_at <= max(asked, main.accepted_at() or 0.0):
            return
        with contextlib.suppress(SlurmAway):
            if main.cancel.exists():
                if job is not None and job.active and self._to_be_ended(main):
                    self._asked[main.path.name] = time.time()
                    self._slurm.cancel(job.id, job.name)
            elif job is None and main.job() is None and not main.claimed:
                self._hand_over_again(main)

    def over(self, main: SlurmFolder) -> bool:
        """Whether nothing can be expected of a run's job any more. Slurm's silence alone never says so."""
        look, job = self._look(main)
        if look is None:
            return False
        if not main.path.exists():  # somebody has deleted it, and workers are left
            return job is None or not job.active
        known = main.job()
        begun = max(main.accepted_at() or 0.0, known[1] if known else 0.0, self._asked.get(main.path.name, 0.0))
        if known is None and job is None and not main.claimed:
            return main.cancel.exists() and look.taken_at > begun  # it never came to a job
        if (job is not None and job.active) or look.taken_at <= begun:
            self._missed.pop(main.path.name, None)
            return False
        since = self._missed.setdefault(main.path.name, look.taken_at)
        patience_s = self._cluster.lost_after_s
        if main.cancel.exists():
            if job is not None and not main.claimed:
                return True
            patience_s = min(patience_s, _GRACE_S)
        return time.time() > max(since, main.last_sign_of_life()) + patience_s

    def end(self, main: SlurmFolder) -> Exit:
        """How a run ended whose job is over and wrote no end."""
        _, job = self._look(main)
        known, word = main.job(), "" if job is None else job.state
        if not word and known is not None:
            word = self._slurm.accounted(known[0], self._name(main))
        if word == "OUT_OF_MEMORY":
            return Exit(ExitReason.MEMORY, detail=f"{sum(room.memory_mb for room in main.rooms())} MiB")
        said = main.last_words()
        detail = f"its job is over ({word or 'Slurm does not know it'}) and wrote no end{said and f': {said}'}"
        return Exit(ExitReason.LOST, detail=detail)

    def queued(self, main: SlurmFolder) -> Queued | None:
        """How its job waits; None if it does not."""
        look, _ = self._look(main)
        return None if look is None or main.claimed else look.queued(self._name(main))

    def forget(self, main: SlurmFolder) -> None:
        self._missed.pop(main.path.name, None)
        self._asked.pop(main.path.name, None)

    @property
    def _prefix(self) -> str:
        return f"ringfence-{self._owner}-"

    def _name(self, main: SlurmFolder) -> str:
        return f"{self._prefix}{main.path.name}"

    def _look(self, main: SlurmFolder) -> tuple[Look | None, Job | None]:
        look = self._queue.look()
        if look is not None and look.taken_at > self._cleared_at:
            self._cleared_at = look.taken_at
            self._end_orphans(look)
        return look, None if look is None else look.jobs.get(self._name(main))

    def _end_orphans(self, look: Look) -> None:
        """Has Slurm end jobs whose runs were removed: it may not have noticed that a job was over."""
        names = [name for name, job in look.jobs.items() if job.active and name.startswith(self._prefix)]
        found = [name for name in names if not (self._root / name.removeprefix(self._prefix)).exists()]
        self._orphans = {name: self._orphans.get(name, look.taken_at) for name in found}
        for name, since in self._orphans.items():
            if look.taken_at > since + _GRACE_S:
                with contextlib.suppress(RunnerError):
                    self._slurm.cancel(look.jobs[name].id, name)

    def _to_be_ended(self, main: SlurmFolder) -> bool:
        """Whether it is for Slurm to end a cancelled run: a job that has begun sees to it by itself."""
        return not main.claimed or time.time() > main.cancel.stat().st_mtime + _GRACE_S

    def _hand_over_again(self, main: SlurmFolder) -> None:
        lock = main.try_lock()
        if lock is None:
            return  # somebody else is at it
        try:
            if main.job() is None and main.accepted_at() is not None:
                self.hand_over(main)
        finally:
            os.close(lock)
