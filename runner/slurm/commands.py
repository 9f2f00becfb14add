"""Slurm's own commands, asked for one thing each."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.protocol import RunnerError

_PATIENCE_S = 60.0  # Slurm's commands give up by themselves, after a few times MessageTimeout
_FORMAT = "%i|%T|%Q|%S|%j|%r"
_AWAY = (
    "unable to contact slurm controller",
    "socket timed out",
    "connection refused",
    "connection timed out",
    "zero bytes were transmitted",
    "temporarily unable to accept",
    "resource temporarily unavailable",
    "transport endpoint",
    "unexpected message received",
    "protocol authentication error",  # munged is being started
    "unable to resolve",
)
_KEPT = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "SLURM_CONF", "SLURM_CLUSTERS")


class SlurmAway(RunnerError):
    """Slurm does not answer, or not now: what was asked for may be asked again, and may even have been done."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as Slurm tells it."""

    id: int
    name: str
    state: str
    """Slurm's word in capitals: PENDING, RUNNING, COMPLETED, NODE_FAIL …"""
    priority: int = 0
    start: str = ""
    """When it started or is expected to, in the cluster's time; empty where Slurm does not know."""
    reason: str = ""
    """Why it waits: Resources, Priority …"""

    @property
    def pending(self) -> bool:
        return self.state in ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD")

    @property
    def active(self) -> bool:
        """Whether it may still start something, or something of it may still go on. True for states unknown here."""
        return self.state not in (
            *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED"),
            *("REVOKED", "TIMEOUT"),
        )


class Slurm:
    """The commands of one cluster, as the user who runs the service."""

    def __init__(self, folder: Path | None = None) -> None:
        """`folder` holds the commands; by default they are found on the PATH."""
        self._folder = folder

    def submit(self, options: Sequence[str], script: str) -> int:
        """The id of the new job. Raises SlurmAway; RunnerError if Slurm refuses it."""
        said = self._run("sbatch", "--parsable", *options, stdin=script)
        try:
            return int(said.strip().splitlines()[-1].partition(";")[0])
        except (IndexError, ValueError) as error:
            raise RunnerError(f"sbatch says {said[:200]!r} instead of a job's id") from error

    def jobs(self) -> list[Job]:
        """All jobs of this user that Slurm still knows, those that are over as well. Raises RunnerError."""
        told = self._run("squeue", "--noheader", "--states=all", f"--user={os.getuid()}", f"--format={_FORMAT}")
        return [_parsed(line) for line in told.splitlines() if line.count("|") >= _FORMAT.count("|")]

    def accounted(self, job_id: int, name: str) -> str:
        """The last state of a job by the accounting; empty where there is none, or none of this job. Never raises."""
        try:
            told = self._run("sacct", "-n", "-P", "-X", f"--jobs={job_id}", "--format=State,JobName%200")
        except RunnerError:
            return ""
        states = [line.partition("|")[0] for line in told.splitlines() if line.partition("|")[2] == name]
        return states[-1].split()[0] if states and states[-1] else ""

    def cancel(self, job_id: int, name: str) -> None:
        """Has Slurm end a job, if it still has this name: ids are used again. Raises RunnerError."""
        self._run("scancel", "--quiet", f"--name={name}", f"--user={os.getuid()}", str(job_id))

    def version(self) -> str:
        """As in `22.05.8`. Raises RunnerError."""
        return self._run("sbatch", "--version").strip().removeprefix("slurm ") or "unknown"

    def _run(self, command: str, *arguments: str, stdin: str = "") -> str:
        program = command if self._folder is None else str(self._folder / command)
        # Variables such as SBATCH_ACCOUNT would be options that nobody sees.
        env = {name: os.environ[name] for name in _KEPT if name in os.environ}
        try:
            done = subprocess.run(
                [program, *arguments],
                input=stdin,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_PATIENCE_S,
                check=False,
                env={**env, "SLURM_TIME_FORMAT": "standard"},
                cwd="/",
            )
        except subprocess.TimeoutExpired as error:
            raise SlurmAway(f"{command} does not end") from error
        except OSError as error:
            raise RunnerError(f"cannot start {program}: {error.strerror}") from error
        if done.returncode == 0:
            return done.stdout
        said = " ".join((done.stderr or done.stdout).split())[:300] or f"exit status {done.returncode}"
        away = any(words in said.lower() for words in _AWAY)
        raise (SlurmAway if away else RunnerError)(f"{command}: {said}")


def _parsed(line: str) -> Job:
    id_, state, priority, start, name, reason = line.split("|", 5)
    return Job(
        id=int(id_.partition("_")[0].partition("+")[0]),
        name=name,
        state=state,
        priority=int(priority) if priority.isdecimal() else 0,
        start="" if start in ("N/A", "Unknown") else start,
        reason="" if reason == "None" else reason,
    )
