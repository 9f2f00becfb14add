"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class RunnerName(StrEnum):
    DOCKER = "docker"
    LOCAL = "local"
    FAKE = "fake"


State = Annotated[
    Path, typer.Option(envvar="RINGFENCE_STATE", help="Folder for database, runs and secret.", file_okay=False)
]
TaskFolders = Annotated[
    list[Path] | None, typer.Option("--tasks", envvar="RINGFENCE_TASKS", help="Folder with tasks of your own.")
]
