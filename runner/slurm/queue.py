"""What Slurm knows of all of a service's jobs, asked at once and not too often."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from runner.protocol import Queued, RunnerError
from runner.slurm.commands import Job, Slurm

log = logging.getLogger("ringfence.slurm")

PERIOD_S = 2.0
"""The least time between two looks, however many jobs there are and however often they are asked for."""


@dataclass(frozen=True)
class Look:
    """What Slurm told at one moment."""

    taken_at: float
    """Unix seconds, before Slurm was asked."""
    jobs: Mapping[str, Job]
    """By name. Of several jobs of one name one that still lives, and the last of those."""
    places: Mapping[str, int]
    """The places, from 1, of those that wait, in the order of their priorities."""

    def queued(self, name: str) -> Queued | None:
        """How a job waits; None if it does not."""
        if name not in self.places:
            return None
        job = self.jobs[name]
        return Queued(self.places[name], job.reason, job.start)


class Queue:
    """Keeps the last look. Whoever asks while another look is under way gets the one before."""

    def __init__(self, slurm: Slurm) -> None:
        self._slurm = slurm
        self._last: Look | None = None
        self._due = 0.0
        self._asking = threading.Lock()
        self._silent = False

    def look(self) -> Look | None:
        """The last look that succeeded, at most PERIOD_S old while Slurm answers; None before the first."""
        if time.monotonic() >= self._due and self._asking.acquire(blocking=False):
            try:
                if time.monotonic() >= self._due:
                    self._due = time.monotonic() + PERIOD_S
                    self._ask()
            finally:
                self._asking.release()
        return self._last

    def _ask(self) -> None:
        now = time.time()
        try:
            jobs = self._slurm.jobs()
        except RunnerError as error:
            if not self._silent:
                log.warning("Slurm does not tell of its jobs: %s", error)
            self._silent = True
            return
        self._silent = False
        by_name = {job.name: job for job in sorted(jobs, key=lambda job: (job.active, job.id))}
        waiting = sorted((job for job in by_name.values() if job.pending), key=lambda job: (-job.priority, job.id))
        self._last = Look(now, by_name, {job.name: place for place, job in enumerate(waiting, 1)})
