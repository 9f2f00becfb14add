"""The confirmations of a result: its code at further seeds, each in a session of its own that no agent has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, select

from env.store.model import Status
from env.store.tables import sessions, tests
from leaderboard.tables import results


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """One further seed."""

    session_id: str
    """Of the session that runs it, as its test #1."""
    seed: int
    status: Status


def confirmations(conn: Connection, run_key: str) -> list[Confirmation]:
    """Those of one result, by seed; of a seed that was tried several times, all."""
    return _read(conn, sessions.c.confirms == run_key)


def confirmations_by(conn: Connection, session_ids: Iterable[str]) -> list[Confirmation]:
    """Those that these sessions run, by seed."""
    return _read(conn, sessions.c.id.in_(list(session_ids)))


def seeds_had(conn: Connection, board: str, code_sha256: str) -> dict[int, str]:
    """The seeds at which a code has a result on a board that says something, and the run key of the first of each."""
    c = results.c
    of_code = (c.code_sha256 == code_sha256, c.board == board)
    found = select(c.seed, c.run_key).where(*of_code, c.seed.is_not(None), c.status != Status.CANCELLED.value)
    by_seed: dict[int, str] = {}
    for row in conn.execute(found.order_by(c.finished_at, c.run_key)):
        by_seed.setdefault(row.seed, row.run_key)
    return by_seed


def under_way(conn: Connection, board: str, code_sha256: str) -> dict[int, str]:
    """The seeds at which a code of a board waits or runs to be confirmed, and the ids of the sessions that do it."""
    c, r = sessions.c, results.c
    of_code = (r.code_sha256 == code_sha256, r.board == board)
    waits = tests.c.status.in_([status.value for status in Status if not status.final])
    found = select(c.id, c.seed).join(tests, tests.c.session_id == c.id).join(results, r.run_key == c.confirms)
    return {row.seed: row.id for row in conn.execute(found.where(*of_code, waits))}


def _read(conn: Connection, which: ColumnElement[bool]) -> list[Confirmation]:
    c = sessions.c
    joined = select(c.id, c.seed, tests.c.status).join(tests, tests.c.session_id == c.id)
    found = conn.execute(joined.where(which).order_by(c.seed, tests.c.number))
    return [Confirmation(session_id=row.id, seed=row.seed, status=Status(row.status)) for row in found]
