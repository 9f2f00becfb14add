"""Tests that are not over, found and ended without reading what is stored of them: that may not be readable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select, update

from env.store.model import Status
from env.store.tables import sessions, tests

UNFINISHED = tuple(status.value for status in Status if not status.final)


@dataclass(frozen=True, kw_only=True)
class Unfinished:
    """A test that is not over, as far as it can be told without reading what is stored of it."""

    session_id: str
    n: int
    status: Status
    confirms: str | None = None
    """Run key of the test that it runs again at another seed; None for an agent's own."""

    @property
    def key(self) -> tuple[str, int]:
        """Session and number."""
        return self.session_id, self.n


def unfinished(conn: Connection) -> list[Unfinished]:
    """The tests of all sessions that are not over, oldest first."""
    found = (
        select(tests.c.session_id, tests.c.n, tests.c.status, sessions.c.confirms)
        .join(sessions, sessions.c.id == tests.c.session_id)
        .where(tests.c.status.in_(UNFINISHED))
        .order_by(tests.c.number, tests.c.created_at, tests.c.n)
    )
    return [Unfinished(**{**row._mapping, "status": Status(row.status)}) for row in conn.execute(found)]


def in_turn(conn: Connection, found: Iterable[Unfinished]) -> list[Unfinished]:
    """The tests in the order in which they are to start: agents' own as they are given, then confirmations, first of
    those results that have had the fewest.
    """
    waiting = list(found)
    own = [one for one in waiting if one.confirms is None]
    confirmations = [one for one in waiting if one.confirms is not None]
    if not confirmations:
        return own
    c = sessions.c
    started = (
        select(c.confirms, func.count().label("had"))
        .join(tests, tests.c.session_id == c.id)
        .where(c.confirms.in_({one.confirms for one in confirmations}), tests.c.status != Status.QUEUED.value)
        .group_by(c.confirms)
    )
    had = Counter({row.confirms: row.had for row in conn.execute(started)})
    turns = []
    for one in confirmations:
        turns.append((had[one.confirms], one))
        had[one.confirms] += one.status is Status.QUEUED
    return own + [one for _, one in sorted(turns, key=lambda turn: turn[0])]


def ahead(conn: Connection, session_id: str, n: int) -> int | None:
    """How many tests wait that are to start before this one; None where it does not wait."""
    waiting = [one.key for one in in_turn(conn, unfinished(conn)) if one.status is Status.QUEUED]
    return waiting.index((session_id, n)) if (session_id, n) in waiting else None


def held_devices(conn: Connection, one: Unfinished) -> list[str]:
    """The ids of the devices it holds; none where they cannot be read."""
    found = select(tests.c.devices).where(tests.c.session_id == one.session_id, tests.c.n == one.n)
    try:
        return [str(device) for device in conn.execute(found).scalar_one()]
    except (TypeError, ValueError):
        return []


def all_held(conn: Connection) -> list[str]:
    """The ids of the devices of every test that is not over."""
    return [device for one in unfinished(conn) for device in held_devices(conn, one)]


def stop_unfinished(conn: Connection, session_id: str) -> None:
    """Has the tests of a session that are not over stop."""
    of_it = (tests.c.session_id == session_id, tests.c.status.in_(UNFINISHED))
    conn.execute(update(tests).where(*of_it).values(cancel_requested=True))


def give_up(conn: Connection, one: Unfinished, at: datetime, observation: str) -> None:
    """Ends a test as failed by our fault, and refunds it; does nothing if it is final."""
    ended = {"status": Status.INFRA_FAILED.value, "ended_at": at, "refunded": True, "observation": observation}
    of_it = (tests.c.session_id == one.session_id, tests.c.n == one.n, tests.c.status.in_(UNFINISHED))
    conn.execute(update(tests).where(*of_it).values(**ended))
