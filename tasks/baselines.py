"""Loading a task's baselines: one TOML file each, edits of the task's file with a title and a source."""

from __future__ import annotations

import re
from pathlib import Path

from tasks.errors import TaskError
from tasks.model import Baseline
from tasks.parse import check_tables, parse_toml
from tasks.schema import BaselineTable
from tasks.source import read_source

FOLDER = "baselines"

# A baseline plays as the agent `baseline:<name>`, so its name has to do in addresses and tables too.
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,39}")


def load_baselines(folder: Path) -> tuple[Baseline, ...]:
    """The baselines of the task in `folder`, in name order; none if it has no such subfolder.

    Raises TaskError with the mistakes of all of them. Whether edits fit the task's file is not known here.
    """
    baselines: list[Baseline] = []
    errors: list[TaskError] = []
    for path in sorted((folder / FOLDER).glob("*.toml")):
        try:
            baselines.append(_baseline(folder, path))
        except TaskError as error:
            errors.append(error)
    if errors:
        raise TaskError.together(errors)
    return tuple(baselines)


def _baseline(folder: Path, path: Path) -> Baseline:
    if not _NAME.fullmatch(path.stem):
        message = (
            "the name of a baseline's file must be 1 to 40 of a-z, 0-9, `_`, `.` and `-`, beginning with a letter or "
            "a digit, and end in `.toml`"
        )
        raise TaskError(path, "", message)
    source = read_source(folder, f"{FOLDER}/{path.name}", blame=(path, ""))
    if source is None:
        raise TaskError(path, "", "is not a file")
    table = check_tables(path, parse_toml(source), BaselineTable)
    edits = tuple(edit.model_dump(exclude_none=True) for edit in table.edits)
    return Baseline(path.stem, table.title, table.source, edits)
