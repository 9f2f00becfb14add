"""The port every runner implements: submit, poll, cancel and collect runs by id.

A run is one command in its own work folder, on `devices` processes or GPUs. Everything about it can be asked again
by id after the caller was killed, and nothing assumes that caller and run share a process or a host: a GPU host, a
container engine and a batch system all fit.

A run can have workers: further runs beside it, for code that it does not trust as it trusts its own. It meets each of
them in a folder, where it offers a Unix socket, and shares nothing else with it.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Protocol

_WORKER_NAME = re.compile(r"[a-z0-9-]+")


@dataclass(frozen=True)
class RunSpec:
    """All a runner needs to know of a run. Serialisable, so that it can travel."""

    run_id: str
    """`[a-z0-9][a-z0-9-]{0,99}`; of a worker `<id of its run>.<name>`, the name `[a-z0-9-]+`. Submitting the same id
    again is a no-op, which makes submission safe to repeat."""
    command: tuple[str, ...]
    """Argument vector, started in the work folder."""
    _: KW_ONLY
    files: Mapping[str, str] = field(default_factory=dict)
    """Relative POSIX path to text, laid into the work folder, read-only for the run."""
    env: Mapping[str, str] = field(default_factory=dict)
    """The run's environment; the runner adds only PATH, HOME, OUT_DIR, INPUT_DIR, MEET_DIR, EXAM_DIR and the data
    variables."""
    data: Mapping[str, str] = field(default_factory=dict)
    """Environment variable to the name of a data folder the runner keeps (`smoke/train`), read-only for the run."""
    exam: str | None = None
    """The data set (`smoke`) of which this run, and nobody else, gets text that no run has seen: `exam.bin`,
    uint16 tokens, little-endian, for contexts of BLOCK_SIZE in `env`. Where there is none, there is no EXAM_DIR."""
    upstream: str | None = None
    """The run whose output folder this run finds, read-only, as INPUT_DIR."""
    devices: int = 1
    """The world size: how many processes on CPU hosts, how many GPUs on GPU hosts."""
    device_ids: tuple[str, ...] = ()
    """GPUs the run may use, by the driver's index or UUID, all of one host; it sees no others. Empty: none at all."""
    timeout_s: float = 3600.0
    """Wall-clock deadline in seconds, enforced outside the run's own processes."""
    memory_mb: int = 8192
    """Resident memory of all the run's processes together, in MiB."""
    workers: tuple[RunSpec, ...] = ()
    """Runs that serve this one, each in a sandbox of its own on the same host: started after it and ended with it, or
    before, when it dismisses them (`runner/inside/names.py`). This run finds MEET_DIR, with an empty, writable folder
    for each worker by its name; a worker finds that folder alone, read-only, as its MEET_DIR. Workers have neither
    `upstream` nor exam nor workers of their own, and what they write to OUT_DIR may be gone with them."""

    @property
    def is_worker(self) -> bool:
        return is_worker(self.run_id)

    def __post_init__(self) -> None:
        for name in self.files:
            path = PurePosixPath(name)
            assert not path.is_absolute(), f"path leaves the work folder: {name}"
            assert ".." not in path.parts, f"path leaves the work folder: {name}"
        for worker in self.workers:
            main, _, name = worker.run_id.partition(".")
            assert main == self.run_id, f"not a worker of {self.run_id}: {worker.run_id}"
            assert _WORKER_NAME.fullmatch(name), f"not a worker's name: {name!r}"
            assert worker.upstream is None, f"a worker with an upstream: {worker.run_id}"
            assert worker.exam is None, f"a worker with an exam: {worker.run_id}"
            assert not worker.workers, f"a worker with workers: {worker.run_id}"
        assert len({worker.run_id for worker in self.workers}) == len(self.workers), "two workers of one name"


def is_worker(run_id: str) -> bool:
    """Whether an id is that of a worker."""
    return "." in run_id


class Phase(StrEnum):
    """How far a run is, as its host knows."""

    UNKNOWN = "unknown"  # never submitted here, or its traces were removed
    RUNNING = "running"  # submitted; its processes may still be starting
    ENDED = "ended"  # over: no process of it is left, `Exit` says how


class ExitReason(StrEnum):
    """Why a run is over, as its host saw it: whose fault it is follows elsewhere."""

    EXITED = "exited"  # the command ended by itself, `code` is its exit status
    SIGNALLED = "signalled"  # a signal nobody here sent ended it, `code` is the signal's number
    DEADLINE = "deadline"  # killed at `timeout_s`
    MEMORY = "memory"  # killed above `memory_mb`
    LIMIT = "limit"  # killed above another limit of the host (processes, disk): `detail` says which
    CANCELLED = "cancelled"  # killed because `cancel` was called
    LOST = "lost"  # the runner lost hold of it: our trouble, not the run's


@dataclass(frozen=True)
class Exit:
    """How a run ended, as its host saw it."""

    reason: ExitReason
    code: int | None = None
    detail: str = field(default="", kw_only=True)
    """The limit that was exceeded, as in `600 s`, `8192 MiB`, `512 processes`; otherwise one line for a human, when the
    reason alone does not tell."""

    def in_words(self) -> str:
        """One phrase for people, such as `exit=1` or `exceeded the time limit of 600 s`."""
        match self.reason:
            case ExitReason.EXITED:
                return self._with_detail(f"exit={self.code}")
            case ExitReason.SIGNALLED:
                return self._with_detail(f"killed by signal {self.code}{_signal_name(self.code)}")
            case ExitReason.DEADLINE:
                return f"exceeded the time limit of {self.detail}"
            case ExitReason.MEMORY:
                return f"exceeded the memory limit of {self.detail}"
            case ExitReason.LIMIT:
                return f"exceeded the limit of {self.detail}"
            case ExitReason.CANCELLED:
                return self._with_detail("cancelled")
            case ExitReason.LOST:
                return self._with_detail("lost by the runner")

    def _with_detail(self, words: str) -> str:
        return f"{words}: {self.detail}" if self.detail else words


def _signal_name(number: int | None) -> str:
    try:
        return f" ({signal.Signals(number or 0).name})"
    except ValueError:
        return ""  # a real-time signal


@dataclass(frozen=True)
class Queued:
    """How a run waits that a batch system has accepted."""

    place: int
    """Among this service's waiting runs, from 1."""
    reason: str = ""
    """The batch system's own word: `Resources`, `Priority` …"""
    expected_start: str = ""
    """When it is expected to start, as the batch system writes times; empty where it does not know."""


@dataclass(frozen=True)
class RunState:
    """Where a run stands. Times are host-measured Unix seconds."""

    phase: Phase
    _: KW_ONLY
    started_at: float | None = None
    ended_at: float | None = None
    exit: Exit | None = None
    cpu_s: float | None = None
    """Processor seconds of all its processes, once it has ended; None where its host did not count them to the end."""
    paused_s: float = 0.0
    """Seconds of that time in which it was frozen, once it has ended."""
    no_exam: str = ""
    """Why a run that asked for an exam got none; empty where it got one, and where it asked for none."""
    queued: Queued | None = None
    """How it waits for its turn on the hardware; None for any other."""

    @property
    def elapsed_s(self) -> float | None:
        """Wall-clock seconds from start to end in which it was not frozen; None until both are known."""
        if self.started_at is None or self.ended_at is None:
            return None
        return self.ended_at - self.started_at - self.paused_s


@dataclass(frozen=True)
class Lack:
    """A wall that a sandbox does without, because its host does not give it."""

    wall: str
    """Its name, in two or three words."""
    what: str
    """What is missing and what follows from that, for an operator."""
    remedy: str
    """What to do about it."""


class RunnerError(Exception):
    """The runner itself is in trouble (engine gone, disk full): never the fault of the run."""


class Runner(Protocol):
    """Implemented by the local process runner, the fake, the container runner and that of a Slurm cluster.

    A run's workers go with it: they are submitted, cancelled and removed together. The end of a worker is no event; its
    output, its files and how it ended can be asked by its id, `<run id>.<name>`.
    """

    name: str
    """`local`, `fake`, `docker` or `slurm`, as recorded with every result."""
    slots: int
    """How many runs it can hold at once."""

    def submit(self, spec: RunSpec) -> None:
        """Start a run and then its workers, or those of them that were not submitted before; workers of a run that is
        over are not started any more. Raises RunnerError.
        """

    def poll(self, run_id: str) -> RunState:
        """Where the run stands now. It decides alone how and when it ended, yet it is RUNNING until its workers, which
        are killed for it, are over too. Raises RunnerError.
        """

    def log(self, run_id: str, stream: str, offset: int, limit: int = 1 << 20) -> bytes:
        """Up to `limit` bytes of `stdout` or `stderr` from `offset`; empty when there is nothing more yet."""

    def collect(self, run_id: str, name: str, limit: int = 1 << 20) -> bytes | None:
        """One file of the run's output folder; None if it is missing, not a plain file, or longer than `limit`."""

    def cancel(self, run_id: str) -> None:
        """Kill every process of the run. Returns at once; `poll` tells when it is over."""

    def pause(self, run_id: str) -> None:
        """Freeze every process of the run and of its workers; returns when that is done, or they are over.

        It stays frozen until `resume`, whatever becomes of the caller. The time counts neither for its deadline nor as
        time that it took. It can be cancelled meanwhile. Nothing happens if it is frozen, over or not known. A runner
        that is no sandbox may leave it running. Raises RunnerError if it cannot be frozen.
        """

    def resume(self, run_id: str) -> None:
        """Let a frozen run go on, within a moment. Nothing happens if it is not frozen. Raises RunnerError."""

    def remove(self, run_id: str) -> None:
        """Forget an ended run and delete its folders."""

    def run_ids(self) -> list[str]:
        """Every run it has traces of, running or ended, if only of its workers."""

    def describe(self) -> dict[str, str]:
        """Hardware and versions, for the record of a result: cpu, gpus, python, torch, runner."""

    def lacks(self) -> tuple[Lack, ...]:
        """What its sandbox does without on this host. Raises RunnerError."""
