"""Everything that can be wrong with a task folder and shows without running it."""

from __future__ import annotations

from pathlib import Path

from env.document import Document
from env.document.baselines import baseline_document
from env.fence import FenceViolation, check_source
from tasks.errors import TaskError
from tasks.load import load_task
from tasks.model import Baseline, Task


def examine(folder: Path) -> Task:
    """The task, if it loads, its file and its baselines pass the lint, and its caps are known.

    Raises TaskError with all that is wrong.
    """
    task = load_task(folder)
    errors = []
    original = Document.open(task.filename, task.text, task.editable)
    try:
        check_source(original, original, override_keys=task.override_keys)
    except FenceViolation as violation:
        message = f"the unedited file fails its own lint: {violation.message}; change the ranges, or the template"
        errors.append(TaskError(folder / "task.toml", "editable", message))
    for baseline in task.baselines if not errors else ():
        file = folder / "baselines" / f"{baseline.name}.toml"
        try:
            check_source(original, baseline_document(task, baseline), override_keys=task.override_keys)
        except TaskError as error:
            errors.append(TaskError(file, error.key, error.message))
        except FenceViolation as violation:
            errors.append(TaskError(file, "edits", f"edited like this, the file fails the lint: {violation.message}"))
    if errors:
        raise TaskError.together(errors)
    return task


def files_with(task: Task, baseline: Baseline | None) -> dict[str, str]:
    """What a run of the baseline, or of the unedited script, gets: path to text."""
    return {task.filename: task.text if baseline is None else baseline_document(task, baseline).text}
