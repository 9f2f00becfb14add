"""What `ringfence task check` shows of a task."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from env.baselines import check_baselines
from env.cli.wiring import CannotStart
from env.document import Document, current_file
from env.fence import FenceViolation, check_source
from env.service.prompt import prompt
from tasks.errors import TaskError
from tasks.load import load_task
from tasks.model import Task


def report(folder: Path, *, whole_prompt: bool) -> list[str]:
    """Lines to print. Raises CannotStart with everything that is wrong."""
    try:
        task = load_task(folder)
        check_baselines(task)
    except TaskError as error:
        raise CannotStart(str(error)) from error
    document = Document.open(task.filename, task.text, task.editable)
    try:
        check_source(document, document, override_keys=task.override_keys)
    except FenceViolation as violation:
        where = folder / "task.toml"
        raise CannotStart(
            f"{where}: editable: the unedited file fails its own lint: {violation.message}"
        ) from violation
    return list(_lines(task, document, whole_prompt))


def _lines(task: Task, document: Document, whole_prompt: bool) -> Iterator[str]:
    yield f"OK: {task.id}: {task.title}"
    yield f"version {task.version[:12]}, {task.budget.tests} tests, {task.budget.steps or 'unlimited'} steps"
    for scale in task.scales.values():
        stages = ", ".join(f"{stage.label} ({stage.script}, {stage.role})" for stage in scale.stages)
        yield f"scale {scale.name}: {scale.world_size} processes; {stages}"
    if not task.scales:
        yield "no scales: this task can be edited but not tested"
    yield ""
    if whole_prompt:
        yield prompt(task, next(iter(task.scales), None))
    else:
        yield current_file(document)
