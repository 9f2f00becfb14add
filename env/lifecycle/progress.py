"""What a test that is running can tell of itself, and who is told of its way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from env.store.model import Run, Session, Test
from runner.metrics import TrainMetrics, parse_train_metrics
from runner.protocol import Queued

MAX_POINTS = 10_000
MAX_LINE_BYTES = 4096


class MetricsTail:
    """Collects TRAIN_METRICS lines from chunks of output; anything else, however long, costs no memory."""

    def __init__(self) -> None:
        self.series: list[TrainMetrics] = []
        self._partial = b""
        self._skipping = False

    def feed(self, chunk: bytes) -> bool:
        """True when the chunk held news."""
        before = len(self.series)
        *lines, rest = (self._partial + chunk).split(b"\n")
        for line in lines:
            point = None if self._skipping else parse_train_metrics(line.decode("utf-8", "replace"))
            self._skipping = False
            if point is not None and len(self.series) < MAX_POINTS:
                self.series.append(point)
        self._skipping = self._skipping or len(rest) > MAX_LINE_BYTES
        self._partial = b"" if self._skipping else rest
        return len(self.series) > before

    @property
    def diverged(self) -> bool:
        return any(not point.finite for point in self.series)


@dataclass
class Progress:
    """What the run under way says of itself: shown, never scored."""

    total_steps: int | None
    label: str = ""
    evaluating: bool = False
    started_at: float | None = None
    """Host-measured Unix seconds of the current run's start."""
    tail: MetricsTail = field(default_factory=MetricsTail)
    attempt: int = 1
    """Of the current run, from 1: what an attempt before it said is void."""
    earlier: tuple[TrainMetrics, ...] = ()
    """Points of runs that are over."""
    cancel_requested: bool = False
    queued: Queued | None = None
    """How the current run waits for its turn on a cluster."""

    @property
    def series(self) -> tuple[TrainMetrics, ...]:
        return (*self.earlier, *self.tail.series)

    @property
    def count(self) -> int:
        """How many points there are."""
        return len(self.earlier) + len(self.tail.series)

    def points(self, first: int, most: int) -> Sequence[TrainMetrics]:
        """At most so many of them, from the one with this index on; the others cost nothing."""
        before, end = len(self.earlier), first + most
        return (*self.earlier[first:end], *self.tail.series[max(0, first - before) : max(0, end - before)])

    def copy(self) -> Progress:
        """The same as it is now, whatever comes."""
        tail = MetricsTail()
        tail.series = list(self.tail.series)
        return replace(self, tail=tail)

    def eta_s(self, now: float) -> float | None:
        """Seconds until training ends at the rate so far; None before the first point."""
        points = self.tail.series
        if self.total_steps is None or self.started_at is None or not points or points[-1].step <= 0:
            return None
        step = min(points[-1].step, self.total_steps)
        return round((now - self.started_at) * (self.total_steps - step) / step, 1)


class Watcher(Protocol):
    """Is told of a test's way after the fact, once it is committed; must not block, and nothing depends on it."""

    def started(self, session: Session, test: Test) -> None:
        """The test has its devices."""

    def ran(self, session: Session, test: Test, run: Run, *, evaluates: bool) -> None:
        """A run of it is over and judged."""

    def finished(self, session: Session, test: Test) -> None:
        """It has its final status."""


class NoWatcher:
    """Watches nothing."""

    def started(self, session: Session, test: Test) -> None: ...

    def ran(self, session: Session, test: Test, run: Run, *, evaluates: bool) -> None: ...

    def finished(self, session: Session, test: Test) -> None: ...
