"""The statement that finds sessions whose agents may have left."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, exists, func, select

from env.store.codec import read_time, time_text
from env.store.tables import sessions, steps, tests

_UNFINISHED = ("queued", "running")


class Idle(NamedTuple):
    session_id: str
    since: datetime
    """Of its last call or of its last test's end, whichever was later."""
    spent: int
    """Tests that count."""


def idle_sessions(conn: Connection, before: datetime) -> list[Idle]:
    """Open sessions that no test runs for and nothing happened in since `before`, oldest first."""
    limit = time_text(before)
    last_step = select(steps.c.at).where(steps.c.session_id == sessions.c.id).order_by(steps.c.seq.desc()).limit(1)
    last_end = select(func.max(tests.c.ended_at)).where(tests.c.session_id == sessions.c.id)
    spent = select(func.count()).where(tests.c.session_id == sessions.c.id, tests.c.refunded.is_(False))
    # All times are texts of one form, so that they compare as times do.
    stepped = func.coalesce(last_step.scalar_subquery(), sessions.c.created_at)
    ended = func.coalesce(last_end.scalar_subquery(), sessions.c.created_at)
    found = conn.execute(
        select(sessions.c.id, stepped.label("stepped"), ended.label("ended"), spent.scalar_subquery().label("spent"))
        .where(sessions.c.submitted_test.is_(None), sessions.c.closed_at.is_(None), sessions.c.created_at <= limit)
        .where(stepped <= limit, ended <= limit)
        .where(~exists().where(tests.c.session_id == sessions.c.id, tests.c.status.in_(_UNFINISHED)))
        .order_by(stepped, sessions.c.id)
    )
    return [Idle(row.id, read_time(max(row.stepped, row.ended)), row.spent) for row in found]
