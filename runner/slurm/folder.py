"""The folder of a run in the shared folder, and what service and node write there for each other."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runner.folder.run_folder import RunFolder, read_state, write_state
from runner.folder.sandboxed import Mount


@dataclass(frozen=True, kw_only=True)
class Room:
    """One sandbox of a job, as the service orders it: a run with every name resolved, but for what the node decides."""

    run_id: str
    command: tuple[str, ...]
    env: dict[str, str]
    mounts: tuple[Mount, ...]
    gpus: tuple[int, ...]
    """Which of the job's GPUs it gets, counted from 0."""
    has_out: bool
    """Whether OUT_DIR is mounted; a worker has one in memory."""
    user: int
    """User and group id inside."""
    timeout_s: float
    memory_mb: int


@dataclass(frozen=True)
class SlurmFolder(RunFolder):
    """A run's folder. Files written by the service: `accepted`, `job`, `cancel`; by the job: all others."""

    node: Path
    """The folder of the node in which the run meets its workers."""

    @property
    def meet(self) -> Path:
        return self.node / "meet"

    def accept(self, rooms: list[Room], at: float) -> None:
        """From then on the run is this runner's to submit, until Slurm has it. `rooms`: its own, and its workers'."""
        raw = [{**asdict(room), "mounts": [_raw_mount(mount) for mount in room.mounts]} for room in rooms]
        write_state(self.path / "accepted", {"at": at, "rooms": raw})

    def accepted_at(self) -> float | None:
        """Unix seconds; None for a run that was not accepted."""
        raw = read_state(self.path / "accepted")
        return None if raw is None else float(raw["at"])

    def rooms(self) -> list[Room]:
        raw = read_state(self.path / "accepted")
        return [] if raw is None else [_room(each) for each in raw["rooms"]]

    def write_job(self, job_id: int, at: float) -> None:
        write_state(self.path / "job", {"id": job_id, "at": at})

    def job(self) -> tuple[int, float] | None:
        """The job's id, and when it was submitted, in Unix seconds; None as long as Slurm has not said it."""
        raw = read_state(self.path / "job")
        return None if raw is None else (int(raw["id"]), float(raw["at"]))

    def claim(self, job: str) -> bool:
        """Whether the job that asks is the first: a run that was submitted twice, or requeued, runs once."""
        draft = self.path / f".claim-{job}-{os.getpid()}"
        draft.write_text(job)
        try:
            os.link(draft, self.path / "claim")  # the one way of telling who was first that all shared folders have
        except FileExistsError:
            return False
        finally:
            draft.unlink()
        return True

    def show_life(self) -> None:
        """Says that the job lives."""
        with contextlib.suppress(OSError):
            write_state(self.path / "alive", {"at": time.time()})

    def last_sign_of_life(self) -> float:
        """Unix seconds by the shared folder's clock; 0 before the job has started."""
        return max(_changed(self.path / "alive"), _changed(self.path / "claim"))

    @property
    def claimed(self) -> bool:
        """Whether a job has begun with it."""
        return (self.path / "claim").exists()

    @property
    def job_log(self) -> Path:
        """What Slurm and the job's own program have to say."""
        return self.path / "job.log"

    def last_words(self) -> str:
        try:
            lines = self.job_log.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return ""
        return lines[-1][:200] if lines else ""


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _raw_mount(mount: Mount) -> dict[str, Any]:
    return {**asdict(mount), "source": str(mount.source)}


def _room(raw: dict[str, Any]) -> Room:
    mounts = tuple(Mount(**{**each, "source": Path(each["source"])}) for each in raw["mounts"])
    return Room(**{**raw, "command": tuple(raw["command"]), "gpus": tuple(raw["gpus"]), "mounts": mounts})
