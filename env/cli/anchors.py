"""`ringfence baseline freeze` and `show`: anchors from played baselines, and baselines beside their anchors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Engine

from env.cli.choices import chosen, seeds_in
from env.cli.errors import errors, fail
from env.cli.options import DATA_SET, TaskFolders, with_help
from env.cli.wiring import CannotStart, find
from env.operators.measure.anchors import NotMeasured, anchors
from env.operators.measure.collect import measurements
from env.operators.measure.expected import BesideAnchor, compare
from env.service.scoring import ScaleScoring, scoring_of
from env.store.engine import open_database
from tasks.anchors import write_anchors
from tasks.data_sets import TextData
from tasks.errors import TaskError
from tasks.load import Found

TaskName = Annotated[str | None, typer.Argument(help="A task's id.")]
Every = Annotated[bool, typer.Option("--all", help="Every task that has the scale.")]
ScaleName = Annotated[str, typer.Option(help="One of the task's scales.")]
States = Annotated[
    list[Path] | None,
    typer.Option("--state", help="A state folder with the database and the data folder; may be repeated."),
]


def freeze(
    task: TaskName = None,
    every: Every = False,
    scale: ScaleName = "smoke",
    seeds: Annotated[
        str | None, typer.Option(help="As `42,43`. Unless given, all that every baseline was run at in a folder.")
    ] = None,
    tasks: TaskFolders = None,
    data_set: Annotated[TextData, with_help(DATA_SET)] = TextData.FINEWEB10B,
    state: States = None,
) -> None:
    """Write anchors from what `baseline run` has left in one or several state folders, each with data of its own."""
    folders = state or [Path(".ringfence")]
    try:
        numbers = None if seeds is None else seeds_in(seeds)
        found = chosen(find(tuple(tasks or ()), data_set), task, scale, every=every)
    except CannotStart as error:
        fail(str(error))
    complete = True
    with _databases(folders) as engines:
        for one in found:
            try:
                measured = [
                    measurements(engine, folder / "data", one.task, scale)
                    for engine, folder in zip(engines, folders, strict=True)
                ]
                made = anchors(one.task, scale, measured, numbers, datetime.now(UTC).date())
                typer.echo(f"Anchors written to {write_anchors(one.folder, scale, made)}")
            except (NotMeasured, TaskError) as error:
                errors.print(f"No anchors for {one.task.id}: {error}.")
                complete = False
    raise typer.Exit(0 if complete else 1)


def show(
    task: TaskName = None,
    every: Every = False,
    scale: ScaleName = "smoke",
    tasks: TaskFolders = None,
    data_set: Annotated[TextData, with_help(DATA_SET)] = TextData.FINEWEB10B,
    state: States = None,
) -> None:
    """Show what each baseline scores here beside what its anchor scores, and its loss beside the anchor's: a difference
    to the unedited file, where that is what anchors are relative to. Exit status 1 if one is not within noise.
    """
    folders = state or [Path(".ringfence")]
    try:
        found = chosen(find(tuple(tasks or ()), data_set), task, scale, every=every)
    except CannotStart as error:
        fail(str(error))
    compared: list[BesideAnchor] = []
    scored = True
    with _databases(folders) as engines:
        for engine, folder in zip(engines, folders, strict=True):
            for one in found:
                scoring, rows = _compared(engine, folder / "data", one, scale)
                if scoring.reason is not None:
                    errors.print(f"{one.task.id}: no scores: {scoring.reason}.")
                    scored = False
                elif rows:
                    for line in _lines(f"{one.task.id} at {scale}, {folder}", rows):
                        typer.echo(line)
                    compared += rows
    inside = sum(one.within for one in compared)
    typer.echo(f"{inside} of {len(compared)} within noise of their anchors.")
    raise typer.Exit(0 if scored and compared and inside == len(compared) else 1)


def _compared(engine: Engine, data: Path, found: Found, scale: str) -> tuple[ScaleScoring, list[BesideAnchor]]:
    scoring = scoring_of(found.task, scale, found.anchors.get(scale), data)
    if scoring.reason is not None:
        return scoring, []
    return scoring, compare(scoring, measurements(engine, data, found.task, scale).results)


@contextmanager
def _databases(folders: list[Path]) -> Iterator[list[Engine]]:
    """The databases in these state folders, which have to be there."""
    engines: list[Engine] = []
    try:
        for folder in folders:
            file = folder.resolve() / "ringfence.db"
            if not file.is_file():
                fail(f"there is no database {file}.")
            engines.append(open_database(f"sqlite:///{file}"))
        yield engines
    finally:
        for engine in engines:
            engine.dispose()


def _lines(title: str, compared: list[BesideAnchor]) -> Iterator[str]:
    yield title
    yield f"  {'baseline':<22}{'score':>7}{'anchor':>8}  {'within':<16}{'loss':>9}{'anchor':>9}{'noise':>9}   seeds"
    for one in compared:
        scores = (
            f"{_number(one.score):>7}{_number(one.expected):>8}  {f'{_number(one.low)} to {_number(one.high)}':<16}"
        )
        losses = f"{one.loss:>+9.4f}{one.loss_expected:>+9.4f}{f'±{one.loss_noise:.4f}':>9}"
        verdict = "within noise" if one.within else "OUTSIDE"
        yield f"  {one.name:<22}{scores}{losses}   {','.join(map(str, one.seeds))}: {verdict}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
