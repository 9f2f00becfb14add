"""`ringfence reference`: the references that results are certified beside and their compute is compared with."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from env.cli.errors import errors, fail
from env.cli.options import (
    CLUSTER,
    DATA,
    DATA_SET,
    DB,
    DEFAULT_IMAGE,
    IMAGE,
    RUNNER,
    SANDBOX,
    Options,
    RunnerName,
    State,
    TaskFolders,
    with_help,
)
from env.cli.wiring import CannotStart, load, wire
from env.lifecycle.devices import NoDevice
from env.lifecycle.reference import Reference, listed, recipe
from env.lifecycle.references import ReferenceFailed
from env.operators.measure.collect import measure_unedited
from env.service.service import Service
from tasks.data_sets import TextData
from tasks.model import Task

reference_app = typer.Typer(help="References: the unedited script, trained once for each scale and data.")


@reference_app.callback()
def about() -> None:
    """References: the unedited script, trained once for each scale and data."""


@reference_app.command("make")
def make_references(
    scale: Annotated[str, typer.Option(help="A scale of the tasks.")] = "smoke",
    scores: Annotated[
        bool,
        typer.Option("--scores/--no-scores", help="Also train at the further seeds that relative anchors need."),
    ] = True,
    list_only: Annotated[bool, typer.Option("--list", help="Only list those that are there.")] = False,
    db: Annotated[str | None, with_help(DB, "As for serve, like all that follow.")] = None,
    runner: Annotated[RunnerName, with_help(RUNNER)] = RunnerName.DOCKER,
    tasks: TaskFolders = None,
    data: Annotated[Path | None, with_help(DATA)] = None,
    data_set: Annotated[TextData, with_help(DATA_SET)] = TextData.FINEWEB10B,
    state: State = Path(".ringfence"),
    image: Annotated[str, with_help(IMAGE)] = DEFAULT_IMAGE,
    sandbox: Annotated[Path | None, with_help(SANDBOX)] = None,
    cluster: Annotated[Path | None, with_help(CLUSTER)] = None,
) -> None:
    """Train and score the references of a scale that are not there yet. As long as a test of the unedited script; where
    scores are relative to that, at each seed they need.
    """
    options = Options(
        state=state,
        runner=runner,
        tasks=tuple(tasks or ()),
        db=db,
        data=data,
        data_set=data_set,
        image=image,
        sandbox=sandbox,
        cluster=cluster,
    )
    if list_only:
        for one in listed(options.data_folder):
            typer.echo(_line(one))
        return
    if runner is RunnerName.FAKE:
        fail("a reference is really trained: --runner fake makes none.")
    try:
        found = load(options.tasks, data_set)
        wanted = [task for task in found.values() if scale in task.scales]
        if not wanted:
            raise CannotStart(f"no task has the scale {scale!r}.")
        service = wire(options)
    except CannotStart as error:
        fail(str(error))
    try:
        distinct = _distinct(wanted, scale, options.data_folder)
        for one in asyncio.run(_make(service, distinct, scale, options.data_folder if scores else None)):
            typer.echo(_line(one))
    except (ReferenceFailed, NoDevice) as failure:
        fail(f"no reference was made: {failure}", 1)
    except KeyboardInterrupt:
        errors.print("Stopped. What was under way goes on: the same command takes it up again.")
        raise typer.Exit(130) from None
    finally:
        service.engine.dispose()


async def _make(service: Service, tasks: list[Task], scale: str, scored: Path | None) -> list[Reference]:
    """`scored` is the data folder whose scores are to be made ready as well."""
    made = []
    for task in tasks:
        made.append(await service.lifecycle.make_reference(task, task.scales[scale]))
        if scored is not None:
            await measure_unedited(service, task, scale, scored)
    return made


def _distinct(tasks: list[Task], scale: str, data_dir: Path) -> list[Task]:
    """One of each that share a reference."""
    by_key: dict[str, Task] = {}
    for task in tasks:
        made_by = recipe(task, task.scales[scale], data_dir)
        if made_by is not None:
            by_key.setdefault(made_by.key, task)
    return list(by_key.values()) or tasks[:1]


def _line(one: Reference) -> str:
    table = one.table
    shape = f"{table.settings['N_LAYER']}L/{table.settings['N_HEAD']}H/{table.settings['N_EMBD']}D"
    data = ", ".join(table.data)
    cpu = "" if table.cpu_s is None else f", {table.cpu_s:.1f} s of processors"
    what = f"{one.key}  {shape}, seed {table.seed}, on {data}"
    return f"{what}: loss {table.heldout_loss:.4f}, trained in {table.training_s:.1f} s{cpu}"
