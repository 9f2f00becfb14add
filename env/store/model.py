"""Sessions, steps and tests as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from env.store.evaluation import Evaluation
from env.store.keys import is_probe, key_text, name_of
from runner.metrics import TrainMetrics
from tasks.model import Scale, Task

Editables = Mapping[str, tuple[tuple[str, ...], ...]]
"""One step's state: filename to the lines of each editable segment, in order."""
Series = list[tuple[int, float | None, float | None]]
"""Step, train and validation loss; None where a loss was not finite."""
DataDigests = Mapping[str, Mapping[str, str | None]]
"""By use (`training`, `held_out`, `reserve`), data folders and a SHA-256 of each; None where nobody noted any."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """One agent's attempt at one task, as opened. What changes afterwards is in its steps and tests."""

    id: str
    task: Task
    agent: str
    scale: str | None
    """None when the task has no scales: it can be edited but not tested."""
    metadata: Mapping[str, Any]
    token_sha256: str
    created_at: datetime
    seed: int | None = None
    """Instead of the scale's own; None for every session but a baseline's and a confirmation."""
    confirms: str | None = None
    """Run key of the submitted test that it runs again at another seed, for no agent; None for every other session."""

    @property
    def size(self) -> Scale:
        """The scale its tests run at, with its seed. Only for sessions that can be tested."""
        assert self.scale is not None
        return self._seeded(self.task.scales[self.scale])

    @property
    def proxy(self) -> Scale | None:
        """The scale its probes run at, with its seed; None where it can have none."""
        name = None if self.scale is None else self.task.scales[self.scale].probe
        return None if name is None else self._seeded(self.task.scales[name])

    def size_of(self, test: Test) -> Scale:
        """The scale that a test or a probe of it runs at."""
        if not test.is_probe:
            return self.size
        assert self.proxy is not None
        return self.proxy

    def _seeded(self, scale: Scale) -> Scale:
        if self.seed is None:
            return scale
        return replace(scale, settings={**scale.settings, "SEED": str(self.seed)})


@dataclass(frozen=True, kw_only=True)
class Submission:
    """The test whose result a session chose as final, or the service chose for it."""

    test: int
    """Its number in the session."""
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How the service ended a session that its agent did not end itself."""

    at: datetime
    reason: str
    """In words: `no call came for 24 h`."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One tool call and its answer."""

    seq: int
    tool: str
    input: Mapping[str, Any]
    ok: bool
    observation: str
    at: datetime
    code: str | None = None
    """Refusal code; None when ok."""
    test: int | None = None
    """Key of the test or probe that this step started, stopped or submitted."""
    editables: Editables | None = None
    """State after an edit; None for steps that change nothing."""
    undone: int = 0
    """How many edits an undo took back."""


class Status(StrEnum):
    """Where a test stands. The last seven are final."""

    QUEUED = "queued"  # paid for, waiting for devices
    RUNNING = "running"  # at least one run submitted
    SUCCEEDED = "succeeded"  # every stage passed
    FAILED = "failed"  # the code under test failed
    DIVERGED = "diverged"  # a loss was not finite: stopped early
    REJECTED = "rejected"  # an audit failed
    TIMED_OUT = "timed_out"  # a stage passed its deadline
    CANCELLED = "cancelled"  # stopped on request
    INFRA_FAILED = "infra_failed"  # our fault: refunded, never scored

    @property
    def final(self) -> bool:
        """Whether the test is over."""
        return self not in (Status.QUEUED, Status.RUNNING)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of a test that is over, and what came of it."""

    run_id: str
    position: int
    """Its place in the test's plan, from 0."""
    label: str
    """Its stage's."""
    script: str
    status: Status
    started_at: float | None
    ended_at: float | None
    """Host-measured Unix seconds."""
    reason: str = ""
    """Why it is not `succeeded`, in words: `exit=1`, `exceeded the time limit of 600 s`."""
    output: str = ""
    """The useful end of a failed run's output, made harmless."""
    series: tuple[TrainMetrics, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Bare metric name to value, from the evaluator."""
    note: str = ""
    """What the reader of the result has to know of how it came about."""
    evaluation: Evaluation | None = None
    """What the evaluator counted and audited; None for other runs, and where it came to no judgement."""
    cpu_s: float | None = None
    """Processor seconds of all its processes by the host; None where it did not count them."""
    paused_s: float | None = None
    """Seconds from start to end in which it was frozen; None for a run from before there was such a thing."""
    no_exam: str | None = None
    """Why there was no exam for it; empty where there was one, None for a run that needs none."""

    @property
    def elapsed_s(self) -> float:
        """Wall-clock seconds by the host in which it was not frozen; 0 for a run that never started or was lost."""
        if self.started_at is None or self.ended_at is None:
            return 0.0
        return self.ended_at - self.started_at - (self.paused_s or 0.0)


@dataclass(frozen=True, kw_only=True)
class Test:
    """One test or probe of a session: bought, run, judged. A probe runs at the proxy of the session's scale."""

    session_id: str
    n: int
    """Its key: the number of a test, from 1; of a probe, which is numbered apart, what `key_of_probe` says."""
    status: Status
    files: Mapping[str, str]
    """The immutable snapshot under test: path to text."""
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    cancel_requested: bool = False
    refunded: bool = False
    observation: str | None = None
    """The feedback text, once final."""
    devices: tuple[str, ...] = ()
    """Ids of the devices it holds while it runs."""
    runner: str | None = None
    """The name of the runner it was started with; None before, and where that was not recorded."""
    data: DataDigests | None = None
    """The data it was started with; None before, and where that was not recorded."""
    runs: tuple[Run, ...] = ()
    gpu_s: float | None = None
    """What it used of its session's budget, in seconds of all its GPUs together; None while it is not over, where it
    used none, and for a test from before that was kept."""

    __test__ = False  # not a test case, whatever pytest makes of the name

    @property
    def is_probe(self) -> bool:
        """Whether it guides its agent only: it is never ranked and cannot be submitted."""
        return is_probe(self.n)

    @property
    def number(self) -> int:
        """What readers know it by: tests and probes of a session are each numbered from 1."""
        return abs(self.n)

    @property
    def name(self) -> str:
        """`Test #1` or `Probe #1`."""
        return name_of(self.n)

    @property
    def run_key(self) -> str:
        """The leaderboard's key for it; of a probe, which has no row there, one like it."""
        return f"{self.session_id}-{key_text(self.n)}"


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Counts since the database began."""

    sessions: int
    refunds: int
