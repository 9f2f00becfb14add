"""`ringfence backup` and `ringfence restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from env.cli.errors import errors, fail
from env.cli.options import DATA, DB, Options, RunnerName, State, with_help
from env.operators.backup import BackupError, ServiceFiles, back_up
from env.operators.backup import restore as restored
from env.store.engine import sqlite_file

_Db = Annotated[str | None, with_help(DB, "As for serve, like --data and --state.")]
_Data = Annotated[Path | None, with_help(DATA)]


def backup(
    file: Annotated[Path, typer.Argument(help="The file to write; it must not be there yet.")],
    db: _Db = None,
    data: _Data = None,
    state: State = Path(".ringfence"),
) -> None:
    """Write database, secret, and what exams and certificates need of the data, to one file. Works while serving."""
    places = _places(state, db, data)
    try:
        size = back_up(places, file)
    except BackupError as error:
        fail(f"{error}.", 1)
    typer.echo(f"{file}: {size / 1e6:.1f} MB. It holds the secret: whoever reads it can act in every session.")
    if places.database is None:
        errors.print(_beside("pg_dump --format=custom --file=ringfence.pgdump", db, "is not in it. Beside it, run now"))


def restore(
    file: Annotated[Path, typer.Argument(help="What `ringfence backup` wrote.", exists=True, dir_okay=False)],
    db: _Db = None,
    data: _Data = None,
    state: State = Path(".ringfence"),
) -> None:
    """Lay a backup out in a state folder that is empty or not there yet. Nothing is overwritten."""
    places = _places(state, db, data)
    try:
        restored(file, places)
    except BackupError as error:
        fail(f"{error}.", 1)
    typer.echo(f"{state} is restored, every byte checked. Serve it with: ringfence serve --state {state}")
    if places.database is None:
        errors.print(_beside("pg_restore --dbname", db, "was not in it. Before serving, run", " ringfence.pgdump"))


def _places(state: Path, db: str | None, data: Path | None) -> ServiceFiles:
    options = Options(state=state, runner=RunnerName.LOCAL, db=db, data=data)
    try:
        database = sqlite_file(make_url(options.database_url))
    except ArgumentError as error:
        fail(f"cannot use --db: {error}")
    return ServiceFiles(state=state, data=options.data_folder, database=database)


def _beside(command: str, db: str | None, what: str, end: str = "") -> str:
    """The server's own command, with the address that it understands."""
    url = make_url(db or "")
    plain = url.set(drivername=url.get_backend_name()).render_as_string(hide_password=True)
    return f"The database {what}: {command} '{plain}'{end}"
