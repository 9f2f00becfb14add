"""What a test runs, in order: each stage's script, and after training the evaluator on its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from env.session import Test
from runner.protocol import RunSpec
from tasks.model import Scale, Stage, Task

# -P: the work folder holds the agent's files and must not come first on the evaluator's import path.
_EVALUATOR = ("python", "-P", "-m", "runner.inside.evaluate", "language-modelling")


@dataclass(frozen=True)
class PlannedRun:
    position: int
    stage: Stage
    command: tuple[str, ...]
    evaluates: bool
    """Its metrics count, and it sees the evaluation data; the other kind runs the agent's training loop."""
    upstream: int | None
    """Position of the run whose output it reads."""


def plan(scale: Scale) -> tuple[PlannedRun, ...]:
    planned: list[PlannedRun] = []
    trained: int | None = None
    for stage in scale.stages:
        script = ("bash", stage.script)
        if stage.role == "train":
            trained = len(planned)
            planned.append(PlannedRun(trained, stage, script, evaluates=False, upstream=None))
            planned.append(PlannedRun(trained + 1, stage, _EVALUATOR, evaluates=True, upstream=trained))
        else:
            planned.append(PlannedRun(len(planned), stage, script, evaluates=True, upstream=trained))
    return tuple(planned)


def run_id(test: Test, position: int, attempt: int) -> str:
    return f"{test.session_id}-{test.n}-{position}-{attempt}"


def owner(run_id: str) -> tuple[str, int]:
    """Session and test number a run id was made for."""
    session_id, n, _, _ = run_id.rsplit("-", 3)
    return session_id, int(n)


def spec(task: Task, scale: Scale, test: Test, run: PlannedRun, attempt: int, upstream: str | None) -> RunSpec:
    """The run as the runner gets it: the test's snapshot, the stage's script, the scale's settings as environment."""
    files: Mapping[str, str] = {**test.files, run.stage.script: run.stage.script_text}
    return RunSpec(
        run_id=run_id(test, run.position, attempt),
        command=run.command,
        files=files,
        env={**scale.settings, "SCRIPT": task.filename, "WORLD_SIZE_EXPECTED": str(scale.world_size)},
        data=scale.evaluation_data if run.evaluates else scale.data,
        upstream=upstream,
        devices=scale.world_size,
        timeout_s=run.stage.timeout_s,
        memory_mb=scale.memory_mb,
    )
