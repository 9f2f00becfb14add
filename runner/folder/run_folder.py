"""A run's folder: the names in it, its state files, and the lock that says whether a supervisor lives.

Everything the local runner knows is here, so that a runner object made after a crash knows as much as the one before.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runner.folder.reserve import with_reserve
from runner.protocol import Exit, ExitReason, Phase, RunState


@dataclass(frozen=True)
class Limits:
    """What the host allows every run, beside the time and memory of its own spec."""

    processes: int = 512
    """How many processes may run at once."""
    disk_mb: int = 20_480
    """The size of all folders the run can write to together, in MiB; also of the largest single file."""
    stream_bytes: int = 16 << 20
    """Bytes kept of stdout and of stderr each, before only the end is kept."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a supervisor is told: the run's spec with every name resolved."""

    command: tuple[str, ...]
    env: dict[str, str]
    timeout_s: float
    memory_mb: int
    limits: Limits


@dataclass(frozen=True)
class RunFolder:
    """One run's folder, whether it is there yet or not."""

    path: Path

    @property
    def work(self) -> Path:
        return self.path / "work"

    @property
    def out(self) -> Path:
        return self.path / "out"

    @property
    def scratch(self) -> Path:
        return self.path / "scratch"

    @property
    def meet(self) -> Path:
        """The folder of a run with workers that holds one for each of them, by its name, in which it meets this run."""
        return self.path / "meet"

    @property
    def exam(self) -> Path:
        """The folder with the exam's text, for a run that has one; it goes with the run."""
        return self.path / "exam"

    @property
    def cancel(self) -> Path:
        """A file that is there as soon as somebody wants the run to stop."""
        return self.path / "cancel"

    @property
    def supervisor(self) -> Path:
        """A file that the supervisor writes before it starts anything: from then on the run is never started again."""
        return self.path / "supervisor"

    @property
    def supervisor_log(self) -> Path:
        """The file with what a supervisor that breaks down has to say."""
        return self.path / "supervisor.log"

    def stream(self, name: str) -> Path:
        assert name in ("stdout", "stderr"), name
        return self.path / name

    @property
    def laid_out(self) -> bool:
        return (self.path / "spec.json").exists()

    def write_order(self, order: Order) -> None:
        write_state(self.path / "spec.json", asdict(order))

    def read_order(self) -> Order:
        raw = json.loads((self.path / "spec.json").read_bytes())
        return Order(**{**raw, "command": tuple(raw["command"]), "limits": Limits(**raw["limits"])})

    def write_started(self, at: float, session: int) -> None:
        write_state(self.path / "started", {"at": at, "session": session})

    def started(self) -> tuple[float, int] | None:
        """The start of the command in Unix seconds and its session id; None before it was started."""
        raw = read_state(self.path / "started")
        return None if raw is None else (raw["at"], raw["session"])

    def write_exit(
        self, end: Exit, started_at: float | None, ended_at: float, cpu_s: float | None, paused_s: float = 0.0
    ) -> None:
        times = {"started_at": started_at, "ended_at": ended_at, "cpu_s": cpu_s, "paused_s": paused_s}
        write_state(self.path / "exit", {**asdict(end), **times})

    def ended(self) -> RunState | None:
        """The state of a run whose end is written down; None while it goes on."""
        raw = read_state(self.path / "exit")
        if raw is None:
            return None
        return RunState(
            Phase.ENDED,
            started_at=raw["started_at"],
            ended_at=raw["ended_at"],
            exit=Exit(ExitReason(raw["reason"]), raw["code"], detail=raw["detail"]),
            cpu_s=raw.get("cpu_s"),
            paused_s=raw.get("paused_s", 0.0),
            no_exam=self.no_exam(),
        )

    def write_no_exam(self, why: str) -> None:
        write_state(self.path / "no-exam", {"why": why})

    def no_exam(self) -> str:
        """Why there is no exam for a run that asked for one; empty otherwise."""
        raw = read_state(self.path / "no-exam")
        return "" if raw is None else str(raw["why"])

    def try_lock(self) -> int | None:
        """A file descriptor that holds the run's lock, or None when somebody else has it.

        The supervisor inherits the descriptor from whoever starts it and so has the lock from its first moment to its
        last, however it ends: a free lock means that no supervisor lives.
        """
        return self._flock(fcntl.LOCK_EX)

    def held(self) -> bool:
        """Whether somebody has the run's lock."""
        fd = self._flock(fcntl.LOCK_SH)
        if fd is None:
            return True
        os.close(fd)
        return False

    def _flock(self, operation: int) -> int | None:
        fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        return fd


def write_state(path: Path, value: dict[str, Any]) -> None:
    """Write a state file: all of it or nothing, also when the machine goes down."""

    def write() -> None:
        draft = path.with_name(f".{path.name}.draft")
        with draft.open("w", encoding="utf-8") as file:
            json.dump(value, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)

    with_reserve(path.parent.parent, write)


def read_state(path: Path) -> dict[str, Any] | None:
    """The contents of a state file; None if it is not there."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    value: dict[str, Any] = json.loads(raw)
    return value
