"""`ringfence export`: the service's tasks in the forms of others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from env.cli.errors import fail
from env.operators.harbor.export import ExportError, export
from ringfence.client import RefusedError, ServiceError

export_app = typer.Typer(help="Export tasks in the forms of other environments.", no_args_is_help=True)


@export_app.callback()
def forms() -> None:
    """Export tasks in the forms of other environments."""


@export_app.command()
def harbor(
    url: Annotated[str, typer.Option(help="The service, as agents' and verifiers' containers reach it.")],
    out: Annotated[Path, typer.Option(help="Folder for the tasks' folders.", file_okay=False)],
    task: Annotated[list[str] | None, typer.Option(help="A task's id; may be repeated. All by default.")] = None,
    scale: Annotated[list[str] | None, typer.Option(help="A scale; may be repeated. All by default.")] = None,
) -> None:
    """Write the tasks of a running service as tasks for Harbor, whose GPU work that service does."""
    try:
        folders = export(url, task or (), scale or (), out)
    except RefusedError as refused:
        fail(refused.observation.removeprefix("ERROR: "), 1)
    except (ExportError, ServiceError, OSError) as error:
        fail(str(error), 1)
    for folder in folders:
        typer.echo(folder)
