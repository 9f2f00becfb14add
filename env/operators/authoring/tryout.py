"""Two optimizer steps of a task's script and of each of its baselines, as `check` takes them for an agent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from env.lifecycle.attempts import Attempts
from env.lifecycle.findings import told
from env.lifecycle.plan import rehearsal
from env.lifecycle.rehearsals import rehearse
from env.operators.authoring.examine import files_with
from runner.local.runner import LocalRunner
from runner.text import useful_end
from tasks.model import Scale, Task

SHOWN_CHARS = 6000
UNEDITED = "the unedited script"


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One script that ran."""

    baseline: str | None
    """None for the task's own script."""
    passed: bool
    seconds: float
    told: str
    """In words: what it measured, or why it failed and the end of what it printed."""

    @property
    def what(self) -> str:
        return UNEDITED if self.baseline is None else f"baseline {self.baseline}"


def runnable_scale(task: Task, data: Path) -> Scale | None:
    """The first scale that trains and has its data folders in `data`."""
    for scale in task.scales.values():
        trains = any(stage.role == "train" for stage in scale.stages)
        if trains and all((data / name).is_dir() for name in scale.data.values()):
            return scale
    return None


def try_out(task: Task, scale: Scale, data: Path, scratch: Path) -> Iterator[Tried]:
    """The script and its baselines, one after another, as ordinary processes of this machine: the author's own code.

    `scratch` is a folder for what the runs write. Raises RunnerError.
    """
    runner = LocalRunner(scratch, data, slots=1)
    attempts = Attempts(runner)
    for number, baseline in enumerate((None, *task.baselines)):
        spec = rehearsal(task, scale, "check", number, files_with(task, baseline))
        over = asyncio.run(rehearse(attempts, runner, spec))
        printed = _printed(runner, spec.run_id)
        runner.remove(spec.run_id)
        if over.rehearsed is not None and over.passed:
            words = f"{over.rehearsed.parameters:,} parameters"
        else:
            findings = () if over.rehearsed is None else over.rehearsed.findings
            text = spec.files[task.filename]
            found = [told(finding, text, scale.max_parameters) for finding in findings]
            words = "\n".join(part for part in (over.why_none, *found, printed) if part)
        yield Tried(
            baseline=None if baseline is None else baseline.name,
            passed=over.passed,
            seconds=over.seconds,
            told=words,
        )


def _printed(runner: LocalRunner, run_id: str) -> str:
    """The useful end of what a run said of its errors; agents are told none of it."""
    said = b""
    while piece := runner.log(run_id, "stderr", len(said)):
        said += piece
    return useful_end(b"", said, SHOWN_CHARS)
