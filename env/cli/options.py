"""Options that several commands share, and the value that those of a service come to."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from env.service.closing import DEFAULT_PATIENCE, SessionPatience
from env.service.rates import DEFAULT_RATES, RateLimits
from tasks.data_sets import TextData

DEFAULT_IMAGE = "ringfence-trainer"


class RunnerName(StrEnum):
    """The kinds of runners there are."""

    DOCKER = "docker"
    SLURM = "slurm"
    LOCAL = "local"
    FAKE = "fake"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a service is started with, as the command line says it."""

    state: Path
    runner: RunnerName
    tasks: tuple[Path, ...] = ()
    """Folders with tasks besides the built-in ones."""
    db: str | None = None
    data: Path | None = None
    data_set: TextData = TextData.FINEWEB10B
    """The web text of scales that read any."""
    scale: str | None = None
    """Of sessions that name none."""
    slots: int | None = None
    """Tests at once; by default cores / 2."""
    gpus: str | None = None
    """Which GPUs tests may have; None for those of CUDA_VISIBLE_DEVICES, or all."""
    keys: tuple[str, ...] = ()
    agent_keys: tuple[str, ...] = ()
    image: str = DEFAULT_IMAGE
    sandbox: Path | None = None
    """A TOML file with the sandbox's settings."""
    cluster: Path | None = None
    """A TOML file that describes the Slurm cluster."""
    patience: SessionPatience = DEFAULT_PATIENCE
    rates: RateLimits = DEFAULT_RATES
    foresight: bool = True
    """Edited models are built, and asked about short inputs, before a test is spent on them."""
    neighbours: bool = False
    """docker: other tests' code may run beside an evaluation."""
    confirmations: int = 0
    """Further seeds that every submission at a scale that takes no GPUs is run again at."""

    @property
    def database_url(self) -> str:
        return self.db or f"sqlite:///{self.state.resolve() / 'ringfence.db'}"

    @property
    def data_folder(self) -> Path:
        return self.data or self.state / "data"


HOST = typer.Option(envvar="RINGFENCE_HOST", help="Address to listen on.")
PORT = typer.Option(envvar="RINGFENCE_PORT", min=0, max=65535, help="0 picks a free one.")
DB = typer.Option(envvar="RINGFENCE_DB", help="SQLAlchemy URL; by default SQLite in the state folder.")
RUNNER = typer.Option(envvar="RINGFENCE_RUNNER", help="What runs tests.")
GPUS = typer.Option(
    envvar="RINGFENCE_GPUS",
    help="GPUs for tests: indices as nvidia-smi counts or UUIDs, with commas; all; none. "
    "By default those of CUDA_VISIBLE_DEVICES, else all.",
)
DATA = typer.Option(envvar="RINGFENCE_DATA", help="Data folder; by default in the state folder.")
DATA_SET = typer.Option(envvar="RINGFENCE_DATA_SET", help="The web text of scales that read any, such as gpt-345m.")
SCALE = typer.Option(envvar="RINGFENCE_SCALE", help="Scale of sessions that name none.")
IMAGE = typer.Option(envvar="RINGFENCE_IMAGE", help="docker: the image that runs tests.")
SANDBOX = typer.Option(envvar="RINGFENCE_SANDBOX", help="docker: TOML file with the sandbox's limits.")
CLUSTER = typer.Option(envvar="RINGFENCE_CLUSTER", help="slurm: TOML file that describes the cluster.")

State = Annotated[
    Path, typer.Option(envvar="RINGFENCE_STATE", help="Folder for database, runs and secret.", file_okay=False)
]
TaskFolders = Annotated[
    list[Path] | None, typer.Option("--tasks", envvar="RINGFENCE_TASKS", help="Folder with tasks of your own.")
]


def with_help(option: Any, text: str | None = None) -> Any:
    """The same option with another help text; with none where a command refers to `serve` for it."""
    changed = copy(option)
    changed.help = text
    return changed
