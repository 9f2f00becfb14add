"""A task's baselines as files: their edits applied with the rules that agents' edits are under."""

from __future__ import annotations

from pathlib import Path

from env.document import Document, EditRefused, apply, operation
from tasks.errors import TaskError
from tasks.model import Baseline, Task


def baseline_document(task: Task, baseline: Baseline) -> Document:
    """The task's file after the baseline's edits. Raises TaskError for one that does not fit the file."""
    document = Document.open(task.filename, task.text, task.editable)
    for number, edit in enumerate(baseline.edits):
        try:
            document = apply(document, operation(str(edit["op"]), edit), max_bytes=task.max_file_bytes).document
        except EditRefused as refused:
            file = Path(task.id, "baselines", f"{baseline.name}.toml")
            raise TaskError(file, f"edits[{number}]", refused.message) from refused
    return document


def check_baselines(task: Task) -> None:
    """Raises TaskError with every baseline that does not fit the task's file."""
    errors = []
    for baseline in task.baselines:
        try:
            baseline_document(task, baseline)
        except TaskError as error:
            errors.append(error)
    if errors:
        raise TaskError.together(errors)
