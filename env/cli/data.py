"""`ringfence data`: the data folder that runs read."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bars

from env.cli.errors import errors, fail
from env.cli.options import DATA, State
from runner.data.errors import DataError
from runner.data.prepare import needed_for, prepare
from runner.data.progress import Meter
from tasks.data_sets import TextData

data_app = typer.Typer(help="The data folder that runs read.", no_args_is_help=True)


class DataSet(StrEnum):
    """What `prepare` can make, by the names of `runner.data`; `all` is everything that a scale needs."""

    SMOKE = "smoke"
    FINEWEB10B = "fineweb10b"
    CLIMBMIX = "climbmix"
    WIKITEXT2 = "wikitext2"
    LAMBADA = "lambada"
    LM_EVAL = "lm-eval"
    ALL = "all"


@data_app.callback()
def about() -> None:
    """The data folder that runs read."""


@data_app.command("prepare")
def prepare_data(
    which: Annotated[
        list[DataSet] | None, typer.Argument(help="Sets to make; `all` is what the gpt-345m scale needs, and smoke.")
    ] = None,
    data_set: Annotated[
        TextData | None,
        typer.Option(
            help="The web text that `all` means, which evaluation sets go beside; alone it means `all` of it."
        ),
    ] = None,
    data: Annotated[Path | None, DATA] = None,
    state: State = Path(".ringfence"),
    base: Annotated[
        str | None, typer.Option("--from", metavar="URL", help="A mirror: stands in for the host of every address.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the files of web text after they are tokenised.")] = False,
) -> None:
    """Fetch and prepare data sets. May be broken off; run again, it goes on where it was."""
    corpus = (data_set or TextData.FINEWEB10B).value
    everything = DataSet.ALL in (which or ()) or (not which and data_set is not None)
    wanted = needed_for(corpus) if everything else [one.value for one in which or [DataSet.SMOKE]]
    folder = data or state / "data"
    if base is not None and not base.startswith(("http://", "https://")):
        fail(f"--from {base} is no address; give scheme and host, as in https://mirror.example.")
    try:
        with _bars() as bars:
            prepare(folder, wanted, _Shown(bars), base, keep=keep, corpus=corpus)
    except DataError as error:
        fail(str(error), 1)
    except KeyboardInterrupt:
        errors.print("Stopped. Run the same command again to go on.")
        raise typer.Exit(130) from None
    typer.echo(f"data folder: {folder}")


def _bars() -> Bars:
    return Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),
    )


class _Shown:
    """Progress as bars in a terminal."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars

    @contextmanager
    def bar(self, what: str, total: int | None) -> Iterator[Meter]:
        task = self._bars.add_task(what, total=total)
        try:
            yield lambda done: self._bars.update(task, completed=done)
        finally:
            self._bars.remove_task(task)

    def say(self, line: str) -> None:
        self._bars.console.print(line, markup=False, highlight=False)
