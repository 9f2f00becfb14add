"""Sessions as operators list them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select

from env.store.tables import sessions, steps, task_versions, tests
from env.store.unfinished import UNFINISHED


@dataclass(frozen=True, kw_only=True)
class SessionLine:
    """One session in a list."""

    id: str
    task: str
    agent: str
    scale: str | None
    state: str
    """open, submitted, closed, or confirmation: it runs another session's submission again."""
    created_at: datetime
    last_call_at: datetime
    steps: int
    tests: int
    probes: int
    unfinished: int
    """Tests and probes that wait or run."""
    submitted: str | None
    """Run key of the test that it submitted."""


def session_lines(conn: Connection, *, only_open: bool, limit: int) -> list[SessionLine]:
    """The sessions that were opened last, newest first."""
    of_steps = (
        select(steps.c.session_id, func.count().label("had"), func.max(steps.c.at).label("last"))
        .group_by(steps.c.session_id)
        .subquery()
    )
    had = select(func.count()).where(tests.c.session_id == sessions.c.id)
    probed = had.where(tests.c.n < 0)  # by their keys
    found = (
        select(
            sessions,
            task_versions.c.task_id,
            of_steps.c.had,
            of_steps.c.last,
            had.where(tests.c.n > 0).scalar_subquery().label("tests"),
            probed.scalar_subquery().label("probes"),
            had.where(tests.c.status.in_(UNFINISHED)).scalar_subquery().label("unfinished"),
        )
        .join(task_versions, task_versions.c.version == sessions.c.task_version)
        .outerjoin(of_steps, of_steps.c.session_id == sessions.c.id)
        .order_by(sessions.c.created_at.desc(), sessions.c.id)
        .limit(limit)
    )
    if only_open:
        found = found.where(sessions.c.submitted_test.is_(None), sessions.c.closed_at.is_(None))
    return [
        SessionLine(
            id=row.id,
            task=row.task_id,
            agent=row.agent,
            scale=row.scale,
            state=_state(row),
            created_at=row.created_at,
            last_call_at=row.last or row.created_at,
            steps=row.had or 0,
            tests=row.tests,
            probes=row.probes,
            unfinished=row.unfinished,
            submitted=None if row.submitted_test is None else f"{row.id}-{row.submitted_test}",
        )
        for row in conn.execute(found)
    ]


def _state(row: Row[Any]) -> str:
    if row.confirms is not None:
        return "confirmation"
    return "submitted" if row.submitted_test is not None else "open" if row.closed_at is None else "closed"
