"""`ringfence sessions`: what is in the database, beside a running service or without one; and closing a session."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from env.cli.errors import fail
from env.cli.options import DB, Options, RunnerName, State, with_help
from env.cli.running_service import ask_service
from env.lifecycle.loop import utc_now
from env.service.closing import DEFAULT_PATIENCE, Closing
from env.service.live import LiveSessions
from env.service.served import ServedTime
from env.store.confirmations import confirmations
from env.store.engine import open_database, sqlite_file
from env.store.lease import take_lease
from env.store.listing import SessionLine, session_lines
from env.store.outage import NotOwner
from env.store.store import Store
from env.store.trajectory import each_step, last_seq
from leaderboard.comparing import compared_cells, comparison_of
from leaderboard.comparison import headline
from ringfence.api.refusal import Refusal

sessions_app = typer.Typer(help="Sessions: list them, look at one, close one.", no_args_is_help=True)
_Db = Annotated[str | None, with_help(DB, "As for serve, like --state.")]
_Json = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]
_SessionId = Annotated[str, typer.Argument(help="The session's id.")]
_TITLES = ("session", "task", "agent", "scale", "state", "opened", "last call", "steps", "tests", "verdict")
_CLOSED = "an operator closed it"


@sessions_app.command("list")
def list_sessions(
    only_open: Annotated[bool, typer.Option("--open", help="Only those that are not over.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 50,
    as_json: _Json = False,
    db: _Db = None,
    state: State = Path(".ringfence"),
) -> None:
    """List the newest sessions."""
    with reading(state, db) as engine, engine.connect() as conn:
        lines = session_lines(conn, only_open=only_open, limit=limit)
        compared = compared_cells(conn, [line.submitted for line in lines if line.submitted is not None])
    verdicts = {run_key: cells["verdict"] for run_key, cells in compared.items()}
    if as_json:
        told = [{**asdict(line), "verdict": verdicts.get(line.submitted or "")} for line in lines]
        typer.echo(json.dumps(told, default=str, indent=1))
        return
    rows = [_TITLES, *((*_cells(line), str(verdicts.get(line.submitted or "") or "–")) for line in lines)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@sessions_app.command()
def show(session_id: _SessionId, db: _Db = None, state: State = Path(".ringfence")) -> None:
    """Show a session: its tests and probes, and its last steps."""
    with reading(state, db) as engine:
        store = Store(engine)
        with store.begin() as conn:
            session = store.session(conn, session_id)
            if session is None:
                fail(f"there is no session {session_id}.", 1)
            submission, ending = store.submission(conn, session_id), store.ending(conn, session_id)
            tests = store.tests(conn, session_id)
            last = last_seq(conn, session_id)
            steps = list(each_step(conn, session_id, first=last - 19))
            submitted = None if submission is None else f"{session_id}-{submission.test}"
            compared = None if submitted is None else comparison_of(conn, submitted)
            confirmed = [] if submitted is None else confirmations(conn, submitted)
    typer.echo(f"{session.id}: {session.task.id} at {session.scale}, by {session.agent}, opened {session.created_at}")
    if submission is not None:
        typer.echo(f"submitted test #{submission.test} at {submission.at}")
    if compared is not None:
        typer.echo(headline(compared))
    for one in confirmed:
        typer.echo(f"confirmed at seed {one.seed}: {one.status.value}, in session {one.session_id}")
    if ending is not None:
        typer.echo(f"closed at {ending.at}: {ending.reason}")
    for test in tests:
        devices = f" on {', '.join(test.devices)}" if test.devices else ""
        typer.echo(f"{test.name.lower()}: {test.status.value}{' (refunded)' if test.refunded else ''}{devices}")
    for step in steps:
        told = next(iter(step.observation.splitlines()), "")[:100]
        typer.echo(f"{step.seq:>5}  {step.at:%Y-%m-%d %H:%M:%S}  {step.tool:<6} {told}")


@sessions_app.command()
def close(session_id: _SessionId, db: _Db = None, state: State = Path(".ringfence")) -> None:
    """Close an open session: what runs is stopped, and its best result submitted for it, if it has any."""
    options = Options(state=state, runner=RunnerName.FAKE, db=db)
    with reading(state, db):
        pass  # says what is wrong with the address before anything is made
    try:
        lease = take_lease(options.database_url)
    except NotOwner as owner:
        ask_service(state, owner, f"/v1/sessions/{session_id}/close")
    else:
        engine = open_database(options.database_url)
        lease.guard(engine, lambda: None)
        store = Store(engine)
        closing = Closing(store, LiveSessions(store), utc_now, DEFAULT_PATIENCE, lambda _: None, ServedTime())
        _or_fail(lambda: closing.close_now(session_id, _CLOSED))
    typer.echo(f"Session {session_id} is closed.")


def _or_fail(call: Callable[[], None]) -> None:
    try:
        call()
    except Refusal as refusal:
        fail(refusal.message, 1)


@contextmanager
def reading(state: Path, db: str | None) -> Iterator[Engine]:
    """The database, only to be read: whoever owns it goes on."""
    url = Options(state=state, runner=RunnerName.FAKE, db=db).database_url
    try:
        file = sqlite_file(make_url(url))
        if file is not None and not file.is_file():
            fail(f"there is no database {file}. Name the service's state folder with --state.", 1)
        engine = create_engine(url if file is None else f"sqlite:///file:{file}?mode=ro&uri=true")
        yield engine
        engine.dispose()
    except (ArgumentError, SQLAlchemyError, ModuleNotFoundError) as error:
        fail(f"cannot read the database: {error}", 1)


def _cells(line: SessionLine) -> tuple[str, ...]:
    tests = f"{line.tests}, {line.probes} probe(s)" if line.probes else str(line.tests)
    tests += f" ({line.unfinished} under way)" if line.unfinished else ""
    times = (f"{line.created_at:%Y-%m-%d %H:%M}", f"{line.last_call_at:%Y-%m-%d %H:%M}")
    return (line.id, line.task, line.agent, line.scale or "none", line.state, *times, str(line.steps), tests)
