"""`ringfence baseline`: measure a task's baselines, for the leaderboard and for the anchors of its scores."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from env.cli.anchors import freeze, show
from env.cli.choices import chosen, seeds_in
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
from env.cli.wiring import CannotStart, find, wire
from env.operators.measure.anchors import NotMeasured, anchors, check_all_succeeded
from env.operators.measure.collect import measure_unedited, measurements
from env.operators.measure.play import TEMPLATE, BaselineOutcome, BaselineTest, play_all, running
from env.operators.measure.show import Shown, outcome_table
from env.service.service import Service
from tasks.anchors import write_anchors
from tasks.data_sets import TextData
from tasks.errors import TaskError
from tasks.load import Found
from tasks.model import Baseline, Task

baseline_app = typer.Typer(help="Measure baselines.", no_args_is_help=True)


baseline_app.command()(freeze)
baseline_app.command()(show)


@baseline_app.callback()
def about() -> None:
    """Measure baselines."""


@baseline_app.command("run")
def run_baselines(
    task: Annotated[str | None, typer.Argument(help="A task's id.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every task that has the scale, one after another.")] = False,
    scale: Annotated[str, typer.Option(help="One of the task's scales.")] = "smoke",
    baseline: Annotated[
        list[str] | None, typer.Option("--baseline", help="By name, or `template` for the unedited file; else all.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Whole numbers, separated by commas: the scale's SEED, in turn.")] = "42",
    write: Annotated[
        bool, typer.Option("--write-anchors", help="Freeze what they reach in the task's anchors.toml.")
    ] = False,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Tests at once, by default cores / 2; GPUs are a limit of their own.")
    ] = None,
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
    """Play a task's baselines and its unedited file as agents play: edits, a test, a submission; for each seed."""
    # A shell starts background jobs with interrupts ignored, and Python leaves it at that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    options = Options(
        state=state,
        runner=runner,
        tasks=tuple(tasks or ()),
        db=db,
        data=data,
        data_set=data_set,
        slots=jobs,
        image=image,
        sandbox=sandbox,
        cluster=cluster,
    )
    if write and (runner is RunnerName.FAKE or baseline):
        fail("anchors are of all baselines, really run: --write-anchors takes no --baseline and no --runner fake.")
    try:
        numbers = seeds_in(seeds)
        played = chosen(find(options.tasks, data_set), task, scale, every=every)
        parts = {found.task.id: _parts(found.task, baseline or [], scale, numbers) for found in played}
        service = wire(options, only_own_sessions=True)
    except CannotStart as error:
        fail(str(error))
    try:
        complete = asyncio.run(_measure(service, options, played, parts, jobs, numbers if write else None))
    except KeyboardInterrupt:
        errors.print("Stopped, and with it the tests that ran. What was finished before is on the leaderboard.")
        raise typer.Exit(130) from None
    finally:
        service.engine.dispose()
    raise typer.Exit(0 if complete else 1)


async def _measure(
    service: Service,
    options: Options,
    played: list[Found],
    parts: dict[str, list[BaselineTest]],
    jobs: int | None,
    seeds: list[int] | None,
) -> bool:
    """Whether every test succeeded, and all anchors were written where they were to be: for these `seeds`, if any."""
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True, no_color="NO_COLOR" in os.environ)
    complete = True
    wanted = [test for found in played for test in parts[found.task.id]]
    scale = wanted[0].scale
    async with running(service):
        if options.runner is not RunnerName.FAKE:
            for found in played:
                await measure_unedited(service, found.task, scale, options.data_folder)
        title = f"{played[0].task.id if len(played) == 1 else f'{len(played)} tasks'} at {scale}"
        with Shown(console, title, len(wanted), tasks=len(played) > 1) as shown:
            everything = await play_all(service, wanted, jobs or len(wanted), shown)
    for found in played:
        outcomes = [one for one in everything if one.test.task is found.task]
        console.print(outcome_table(found.task.id, outcomes))
        complete = complete and all(one.succeeded for one in outcomes)
        if seeds is not None:
            complete = _write(service, options, found, outcomes, seeds, console) and complete
    return complete


def _write(
    service: Service,
    options: Options,
    found: Found,
    outcomes: list[BaselineOutcome],
    seeds: list[int],
    console: Console,
) -> bool:
    scale = outcomes[0].test.scale
    try:
        check_all_succeeded(outcomes)
        measured = measurements(service.engine, options.data_folder, found.task, scale)
        made = anchors(found.task, scale, [measured], seeds, datetime.now(UTC).date())
        file = write_anchors(found.folder, scale, made)
    except NotMeasured as missing:
        errors.print(f"No anchors for {found.task.id}: {missing}.")
        return False
    except TaskError as error:
        errors.print(f"ERROR: {error}")
        return False
    service.scoring.put(found.task.id, scale, made)
    console.print(f"Anchors written to {file}", markup=False)
    return True


def _parts(task: Task, names: list[str], scale: str, seeds: list[int]) -> list[BaselineTest]:
    known: dict[str, Baseline | None] = {TEMPLATE: None} | {one.name: one for one in task.baselines}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise CannotStart(f"{task.id} has no baseline {unknown[0]!r}. There are: {', '.join(known)}.")
    return [BaselineTest(task, known[name], scale, seed) for name in names or known for seed in seeds]
