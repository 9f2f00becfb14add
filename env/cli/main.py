"""Commands and their options. Every option can also come from a RINGFENCE_* variable."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from env.cli.backup import backup, restore
from env.cli.baseline import baseline_app
from env.cli.confirm import confirm
from env.cli.data import data_app
from env.cli.doctor import doctor
from env.cli.errors import fail
from env.cli.export import export_app
from env.cli.options import (
    Options,
    RunnerName,
    State,
    TaskFolders,
)
from env.cli.reference import reference_app
from env.cli.serve import listen, serve
from env.cli.sessions import sessions_app
from env.cli.task import task_app
from env.cli.wiring import CannotStart, load, wire
from ringfence.api.distribution import own_version


class _Commands(TyperGroup):
    """Says what it has to say on every terminal: what that cannot show becomes a question mark."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        return super().main(*arguments, **options)


app = typer.Typer(
    name="ringfence",
    cls=_Commands,
    help="An agent-facing, sandboxed benchmark for LLM-pretraining research.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(task_app, name="task")
app.add_typer(data_app, name="data")
app.add_typer(baseline_app, name="baseline")
app.add_typer(reference_app, name="reference")
app.add_typer(sessions_app, name="sessions")
app.add_typer(export_app, name="export")
app.command()(confirm)
app.command()(doctor)
app.command()(backup)
app.command()(restore)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"ringfence {own_version()}")
        raise typer.Exit


@app.callback()
def ringfence(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


app.command()(serve)


@app.command()
def demo(
    state: State = Path(".ringfence/demo"),
    stay: Annotated[
        bool | None, typer.Option("--stay/--no-stay", help="Keep serving at the end; by default in a terminal.")
    ] = None,
) -> None:
    """Play a scripted agent against a service of its own: edit, test, submit, and the leaderboard."""
    from env.cli.demo import play

    try:
        service = wire(Options(state=state, runner=RunnerName.LOCAL, scale="smoke"))
    except CannotStart as error:
        fail(str(error))
    raise typer.Exit(play(service, listen("127.0.0.1", 0), stay))


@app.command("tasks")
def list_tasks(tasks: TaskFolders = None) -> None:
    """List the tasks, with their editable ranges and scales."""
    try:
        found = load(tuple(tasks or ()))
    except CannotStart as error:
        fail(str(error))
    width = max(map(len, found))
    for task in found.values():
        ranges = ", ".join(f"{first}–{last}" for first, last in task.editable)
        scales = ", ".join(task.scales) or "none"
        typer.echo(f"{task.id:<{width}}  {task.title}")
        typer.echo(f"{'':<{width}}  lines {ranges} of {len(task.lines)}; scales: {scales}")
