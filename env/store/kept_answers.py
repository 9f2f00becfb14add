"""Answers that are kept for their Idempotency-Key."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, RowMapping, and_, delete, exists, insert, or_, select

from env.store.tables import answers, sessions, steps


def kept_answer(conn: Connection, scope: str, key: str) -> RowMapping | None:
    """`fingerprint` and `body` of the first answer given under this key."""
    given = select(answers.c.fingerprint, answers.c.body).where(answers.c.scope == scope, answers.c.key == key)
    return conn.execute(given).mappings().first()


def keep_answer(conn: Connection, scope: str, key: str, fingerprint: str, body: str) -> None:
    conn.execute(insert(answers).values(scope=scope, key=key, fingerprint=fingerprint, body=body))


def observation_of(conn: Connection, session_id: str, seq: int) -> str:
    """What a step was answered, which is kept with the step alone."""
    found = select(steps.c.observation).where(steps.c.session_id == session_id, steps.c.seq == seq)
    return str(conn.execute(found).scalar_one())


def forget_answers(conn: Connection, before: datetime) -> int:
    """Forgets the answers in sessions that ended before, and how those were opened. Returns how many."""
    over = select(sessions.c.id).where(or_(sessions.c.closed_at <= before, sessions.c.submitted_at <= before))
    ids = conn.execute(over.where(exists().where(answers.c.scope == sessions.c.id))).scalars().all()
    gone = 0
    for session_id in ids:
        opened = and_(answers.c.scope.like("open:%"), answers.c.body.like(f'%"{session_id}"%'))
        gone += conn.execute(delete(answers).where(or_(answers.c.scope == session_id, opened))).rowcount
    return gone
