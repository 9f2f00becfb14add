"""A run's folder on the host, as the container runner keeps it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from runner.folder.run_folder import RunFolder, read_state, write_state
from runner.protocol import Exit, ExitReason, RunSpec


@dataclass(frozen=True)
class Terms:
    """What a run was promised, for whoever holds it after a restart."""

    timeout_s: float
    memory_mb: int
    accepted_at: float
    """Unix seconds, just before its container was started."""


@dataclass(frozen=True)
class Frozen:
    """How long a run has been frozen so far."""

    since: float | None = None
    """Unix seconds; None while it goes on."""
    before_s: float = 0.0
    """Seconds in all of earlier times."""

    def total_s(self, now: float) -> float:
        """Seconds until `now`, in Unix seconds."""
        return self.before_s + (0.0 if self.since is None else max(0.0, now - self.since))


class ContainerFolder(RunFolder):
    """The folder of a run in a container. Its lock says whether somebody holds the run, in this process or another."""

    @property
    def accepted(self) -> Path:
        """Written before the container is started: from then on the run is never started again."""
        return self.path / "accepted"

    def accept(self, spec: RunSpec, at: float) -> None:
        write_state(self.accepted, asdict(Terms(spec.timeout_s, spec.memory_mb, at)))

    def terms(self) -> Terms:
        raw = read_state(self.accepted)
        assert raw is not None, f"{self.path} was never accepted"
        return Terms(**raw)

    def write_begun(self, at: float) -> None:
        write_state(self.path / "begun", {"at": at})

    def begun(self) -> float | None:
        """The start of the container in Unix seconds; None before it is known."""
        raw = read_state(self.path / "begun")
        return None if raw is None else float(raw["at"])

    @property
    def pause(self) -> Path:
        """A file that is there as long as somebody wants the run to be frozen."""
        return self.path / "pause"

    def pause_wanted_at(self) -> float | None:
        """Since when somebody wants the run to be frozen, in Unix seconds; None if nobody does."""
        try:
            return self.pause.stat().st_mtime
        except FileNotFoundError:
            return None

    def write_frozen(self, frozen: Frozen) -> None:
        write_state(self.path / "frozen", asdict(frozen))

    def frozen(self) -> Frozen:
        raw = read_state(self.path / "frozen")
        return Frozen() if raw is None else Frozen(**raw)

    def write_stopped(self, why: Exit) -> None:
        write_state(self.path / "stopped", asdict(why))

    def stopped(self) -> Exit | None:
        """Why the run was to be killed; noted before it is, so that the reason outlives the killer."""
        raw = read_state(self.path / "stopped")
        return None if raw is None else Exit(ExitReason(raw["reason"]), raw["code"], detail=raw["detail"])
