"""`ringfence task`: tools for people who write tasks."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from env.cli.errors import fail
from env.cli.options import DATA, with_help
from env.document import Document, current_file
from env.operators.authoring.examine import examine
from env.operators.authoring.landmarks import find_range, landmarks, listed
from env.operators.authoring.scaffold import CannotWrite, Draft, script_text, write
from env.operators.authoring.tryout import runnable_scale, try_out
from env.service.prompt import prompt as whole_prompt
from runner.data import DataError, prepare_smoke
from runner.protocol import RunnerError
from tasks.errors import TaskError
from tasks.model import Task

task_app = typer.Typer(help="Tools for people who write tasks.", no_args_is_help=True)
_BASE = "custom_pretrain"


@task_app.command("check")
def check_task(
    folder: Annotated[Path, typer.Argument(help="The task's folder, with task.toml in it.")],
    prompt: Annotated[bool, typer.Option("--prompt", help="Print the whole prompt as an agent would read it.")] = False,
    run: Annotated[bool, typer.Option("--run/--no-run", help="Take two optimizer steps of every script.")] = True,
    data: Annotated[Path | None, with_help(DATA, "Data folder; the smoke data is made where missing.")] = None,
) -> None:
    """Validate a task: its file, ranges, caps and baselines, and two optimizer steps of each script on CPU."""
    try:
        task = examine(folder)
        for line in _about(task, whole=prompt):
            typer.echo(line)
        if run and task.scales:
            _try_out(task, folder, data)
    except TaskError as error:
        fail(str(error), 1)
    except (DataError, RunnerError) as error:
        fail(f"{error}. --no-run leaves the runs out.", 1)


@task_app.command("new")
def new_task(
    id_: Annotated[str | None, typer.Argument(metavar="ID", help="The task's id: a-z, 0-9 and `-`.")] = None,
    title: Annotated[str | None, typer.Option(help="One line; by default made from the id.")] = None,
    template: Annotated[
        str | None, typer.Option(help=f"A built-in script or a Python file of your own; {_BASE} by default.")
    ] = None,
    editable: Annotated[
        list[str] | None,
        typer.Option(help="Lines agents may edit: 22-31, or a name in the script (Block, GPT.forward). Repeatable."),
    ] = None,
    filename: Annotated[str | None, typer.Option(help="The file's path as agents see it.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Where to write; by default a folder named as the id.")] = None,
) -> None:
    """Write a new task's folder. In a terminal it asks for what is not given."""
    asks = sys.stdin.isatty()
    id_ = id_ or _ask(asks, "Task id (a-z, 0-9 and -)", "ID")
    title = title or (typer.prompt("Title", default=_titled(id_)) if asks else _titled(id_))
    template = template or (typer.prompt("Template: built-in script or file", default=_BASE) if asks else _BASE)
    own_file = Path(template) if template.endswith(".py") or Path(template).is_file() else None
    try:
        text = script_text(template, own_file)
        if not editable and asks:
            typer.echo(f"The script has {listed(landmarks(text))}.")
        editable = editable or _ask(asks, "Editable (lines or names, separated by commas)", "--editable").split(",")
        ranges = sorted(find_range(text, wanted.strip()) for wanted in editable)
        shown = filename or (f"nanoGPT/{_BASE}.py" if own_file is None else own_file.name)
        place = folder or Path(id_)
        task = write(
            Draft(id=id_, title=title, template=template, own_file=own_file, editable=ranges, filename=shown), place
        )
    except (CannotWrite, TaskError, ValueError) as error:
        fail(str(error), 1)
    for line in _about(task, whole=False):
        typer.echo(line)
    typer.echo(
        f"\nWritten to {place}/. Next: describe it in {place}/description.md, then\n"
        f"  ringfence task check {place}\n"
        f"  ringfence serve --runner local --tasks {place}"
    )


def _ask(asks: bool, question: str, option: str) -> str:
    if not asks:
        fail(f"{option} is missing, and nobody is there to ask. `ringfence task new --help` lists the options.")
    return str(typer.prompt(question))


def _titled(id_: str) -> str:
    return id_.replace("-", " ").capitalize()


def _about(task: Task, *, whole: bool) -> Iterator[str]:
    yield f"OK: {task.id}: {task.title}"
    hours = "" if task.budget.gpu_hours is None else f", {task.budget.gpu_hours:g} GPU hours"
    yield f"version {task.version[:12]}, {task.budget.tests} tests, {task.budget.steps or 'unlimited'} steps{hours}"
    for scale in task.scales.values():
        stages = ", ".join(f"{stage.label} ({stage.script}, {stage.role})" for stage in scale.stages)
        cap = f", at most {scale.max_parameters:,} parameters" if scale.max_parameters is not None else ""
        probes = f"; {task.budget.probes} probes at {scale.probe}" if scale.probe is not None else ""
        yield f"scale {scale.name}: {scale.world_size} processes{cap}; {stages}{probes}"
    if not task.scales:
        yield "no scales: this task can be edited but not tested"
    for baseline in task.baselines:
        yield f"baseline {baseline.name}: {baseline.title} ({baseline.source}); {len(baseline.edits)} edit(s)"
    yield ""
    if whole:
        yield whole_prompt(task, next(iter(task.scales), None))
    else:
        yield current_file(Document.open(task.filename, task.text, task.editable))


def _try_out(task: Task, folder: Path, data: Path | None) -> None:
    """Raises TaskError with every script that does not run."""
    failed = []
    with tempfile.TemporaryDirectory(prefix="ringfence-check-") as scratch:
        kept = data or Path(scratch, "data")
        prepare_smoke(kept)
        scale = runnable_scale(task, kept)
        if scale is None:
            typer.echo("\nNot run: no scale trains on data that is in the data folder; name one with --data.")
            return
        typer.echo(f"\nTwo optimizer steps on CPU, with the settings of scale {scale.name}:")
        for tried in try_out(task, scale, kept, Path(scratch, "runs")):
            typer.echo(f"{'ok' if tried.passed else 'FAILED'}  {tried.what} ({tried.seconds:.1f} s): {tried.told}")
            if not tried.passed:
                own = f"baselines/{tried.baseline}.toml" if tried.baseline else "task.toml"
                key = "edits" if tried.baseline else "template"
                told = tried.told.partition("\n")[0]
                message = f"two optimizer steps failed: {told}; its output is above. Mend the script, or use --no-run"
                failed.append(TaskError(folder / own, key, message))
    if failed:
        raise TaskError.together(failed)
