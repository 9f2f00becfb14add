"""How long open sessions have been silent, counted in time for which the service was there to be called."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, exists, func, insert, or_, select, update

from env.store.tables import served, sessions, silences, steps, tests
from env.store.unfinished import UNFINISHED

_AT_ONCE = 500  # per statement: far below every database's limit on parameters


@dataclass(frozen=True, kw_only=True)
class Idle:
    """An open session that no test waits or runs for."""

    session_id: str
    silent_s: float
    """Seconds served since its last call or its last test's end, whichever was later; up to a minute more."""
    tests: int
    """How many it has had, refunded ones and probes included."""


def silent(conn: Connection, served_s: float) -> list[Idle]:
    """The open sessions that no test waits or runs for, the most silent first. `served_s` are the seconds for which the
    service served since the last time that this was committed.

    A session's silence begins when it is first seen with its last step and with the end of its last test: up to as much
    later as there is between two looks.
    """
    now = _serve(conn, served_s)
    over = or_(sessions.c.submitted_test.is_not(None), sessions.c.closed_at.is_not(None))
    conn.execute(delete(silences).where(silences.c.session_id.in_(select(sessions.c.id).where(over))))
    stepped = select(func.max(steps.c.seq)).where(steps.c.session_id == sessions.c.id).scalar_subquery()
    tested = select(func.count()).where(tests.c.session_id == sessions.c.id).scalar_subquery()
    found = conn.execute(
        select(sessions.c.id, func.coalesce(stepped, 0).label("steps"), tested.label("tests"))
        .add_columns(silences.c.steps.label("had_steps"), silences.c.tests.label("had_tests"), silences.c.since)
        .outerjoin_from(sessions, silences, silences.c.session_id == sessions.c.id)
        .where(~over)
    ).all()
    busy = set(conn.execute(select(tests.c.session_id).where(tests.c.status.in_(UNFINISHED))).scalars())
    quiet = [row for row in found if row.id not in busy]
    changed = [row for row in quiet if (row.steps, row.tests) != (row.had_steps, row.had_tests)]
    for start in range(0, len(changed), _AT_ONCE):
        some = changed[start : start + _AT_ONCE]
        begun = [{"session_id": row.id, "steps": row.steps, "tests": row.tests, "since": now} for row in some]
        conn.execute(delete(silences).where(silences.c.session_id.in_([row.id for row in some])))
        conn.execute(insert(silences), begun)
    since = {row.id: row.since for row in quiet} | {row.id: now for row in changed}
    idle = [Idle(session_id=row.id, silent_s=now - since[row.id], tests=row.tests) for row in quiet]
    return sorted(idle, key=lambda one: (-one.silent_s, one.session_id))


def _serve(conn: Connection, seconds: float) -> float:
    """The seconds served since the database began, with those that are added."""
    if not conn.execute(select(exists().where(served.c.id == 1))).scalar():
        conn.execute(insert(served).values(id=1, seconds=0.0))
    conn.execute(update(served).values(seconds=served.c.seconds + seconds))
    return conn.execute(select(served.c.seconds)).scalar_one() or 0.0
