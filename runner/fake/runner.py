"""FakeRunner: the port without processes, for tests, demonstrations and work on the service itself."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass

from runner.fake.plan import FakePlan, make_plan
from runner.hardware import FLA
from runner.protocol import Exit, ExitReason, Lack, Phase, RunnerError, RunSpec, RunState


@dataclass
class _Run:
    plan: FakePlan
    no_exam: str
    timeout_s: float
    started_at: float
    cancelled_at: float | None = None
    """This and the other times of it are by its own clock, which stands still while it is frozen."""
    paused_at: float | None = None
    """By the runner's clock; None while it goes on."""
    paused_s: float = 0.0

    def time(self, now: float) -> float:
        """Its own time at a moment of the runner's clock."""
        return (now if self.paused_at is None else self.paused_at) - self.paused_s

    def ending(self) -> tuple[float, Exit]:
        """When it ends, as things stand, and how."""
        ends = [
            (self.started_at + self.plan.duration_s, self.plan.end),
            (self.started_at + self.timeout_s, Exit(ExitReason.DEADLINE, detail=f"{self.timeout_s:g} s")),
        ]
        if self.cancelled_at is not None:
            ends.append((self.cancelled_at, Exit(ExitReason.CANCELLED)))
        return min(ends, key=lambda end: end[0])

    def printed(self, stream: str, now: float) -> str:
        ended_at, how = self.ending()
        if stream == "stderr":
            return self.plan.stderr if now >= ended_at and how is self.plan.end else ""
        share = (min(now, ended_at) - self.started_at) / self.plan.printing_s if self.plan.printing_s else 1.0
        # A hair more than the share: the last line has to be there at the end, rounding or not.
        return "".join(self.plan.lines[: int(share * len(self.plan.lines) + 1e-6)])


class FakeRunner:
    """Runs that take their time and print what a training prints, without computing anything. Workers are not run.

    Deterministic by command and files; a comment in the files (see `make_plan`) makes a run misbehave. State is in this
    object only: a restarted service finds its runs unknown, as after the loss of a host.
    """

    name = "fake"

    def __init__(
        self, slots: int = 2, step_s: float = 0.01, steps: int = 20, clock: Callable[[], float] = time.time
    ) -> None:
        self.slots = slots
        self._step_s = step_s
        self._steps = steps
        self._clock = clock
        self._runs: dict[str, _Run] = {}

    def submit(self, spec: RunSpec) -> None:
        if spec.run_id in self._runs:
            return
        if spec.upstream is not None and spec.upstream not in self._runs:
            raise RunnerError(f"run {spec.run_id} builds on {spec.upstream}, of which there is no trace")
        run = _Run(
            make_plan(spec, self._step_s, self._steps),
            "" if spec.exam is None else "the fake runner gives no exams",
            spec.timeout_s,
            self._clock(),
        )
        self._runs.setdefault(spec.run_id, run)  # atomic, for two threads with the same id

    def poll(self, run_id: str) -> RunState:
        run = self._runs.get(run_id)
        if run is None:
            return RunState(Phase.UNKNOWN)
        ended_at, end = run.ending()
        if run.time(self._clock()) < ended_at:
            return RunState(Phase.RUNNING, started_at=run.started_at)
        return RunState(
            Phase.ENDED,
            started_at=run.started_at,
            ended_at=ended_at + run.paused_s,
            exit=end,
            paused_s=run.paused_s,
            no_exam=run.no_exam,
        )

    def log(self, run_id: str, stream: str, offset: int, limit: int = 1 << 20) -> bytes:
        assert stream in ("stdout", "stderr"), stream
        run = self._runs.get(run_id)
        return b"" if run is None else run.printed(stream, run.time(self._clock())).encode()[offset : offset + limit]

    def collect(self, run_id: str, name: str, limit: int = 1 << 20) -> bytes | None:
        run = self._runs.get(run_id)
        if run is None or run.time(self._clock()) < run.ending()[0] or run.ending()[1] is not run.plan.end:
            return None
        data = run.plan.files.get(name)
        return data if data is not None and len(data) <= limit else None

    def cancel(self, run_id: str) -> None:
        run = self._runs.get(run_id)
        if run is not None and run.cancelled_at is None:
            run.cancelled_at = run.time(self._clock())

    def pause(self, run_id: str) -> None:
        if run_id in self._runs and self.poll(run_id).phase is Phase.RUNNING and self._runs[run_id].paused_at is None:
            self._runs[run_id].paused_at = self._clock()

    def resume(self, run_id: str) -> None:
        run = self._runs.get(run_id)
        if run is not None and run.paused_at is not None:
            run.paused_s += self._clock() - run.paused_at
            run.paused_at = None

    def remove(self, run_id: str) -> None:
        self._runs.pop(run_id, None)

    def run_ids(self) -> list[str]:
        return sorted(self._runs)

    def describe(self) -> dict[str, str]:
        return {
            "cpu": "none",
            "gpus": "none",
            "python": platform.python_version(),
            "torch": "none",
            FLA: "none",
            "runner": self.name,
        }

    def lacks(self) -> tuple[Lack, ...]:
        return ()
