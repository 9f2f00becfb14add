"""The statements that read a session's steps, inside the caller's transaction; none reads more than it needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from env.store.model import Editables, Step
from env.store.rows import editables, read_step
from env.store.tables import steps

_AT_ONCE = 20
"""Steps read together: each may hold some hundred kilobytes."""


@dataclass(frozen=True)
class Change:
    """A step that changed the files."""

    seq: int
    undone: int
    """How many edits it took back; 0 for an edit."""


def each_step(conn: Connection, session_id: str, first: int = 1, last: int | None = None) -> Iterator[Step]:
    """The steps with numbers from `first` to `last`, both included, in order; read a few at a time."""
    statement = select(steps).where(steps.c.session_id == session_id, steps.c.seq >= first).order_by(steps.c.seq)
    if last is not None:
        statement = statement.where(steps.c.seq <= last)
    found = conn.execution_options(stream_results=True, yield_per=_AT_ONCE).execute(statement)
    return (read_step(row) for row in found)


def last_seq(conn: Connection, session_id: str) -> int:
    """The number of the last step; 0 before the first."""
    return conn.execute(select(func.max(steps.c.seq)).where(steps.c.session_id == session_id)).scalar() or 0


def last_step(conn: Connection, session_id: str, tool: str) -> Step | None:
    """The last call of this tool; None before the first."""
    found = select(steps).where(steps.c.session_id == session_id, steps.c.tool == tool)
    row = conn.execute(found.order_by(steps.c.seq.desc()).limit(1)).first()
    return None if row is None else read_step(row)


def changes(conn: Connection, session_id: str) -> list[Change]:
    """The steps that changed the files, in order."""
    rows = conn.execute(
        select(steps.c.seq, steps.c.undone)
        .where(steps.c.session_id == session_id, steps.c.editables.is_not(None) | (steps.c.undone > 0))
        .order_by(steps.c.seq)
    )
    return [Change(row.seq, row.undone) for row in rows]


def in_effect(changed: Iterable[Change]) -> list[int]:
    """The numbers of the edits that no undo has taken back, in order."""
    edits: list[int] = []
    for change in changed:
        if change.undone:
            del edits[-change.undone :]
        else:
            edits.append(change.seq)
    return edits


def states(conn: Connection, session_id: str, edits: Iterable[int]) -> dict[int, Editables]:
    """What the files held after each of these edits, by the step's number."""
    wanted = steps.c.seq.in_(list(edits))
    rows = conn.execute(select(steps.c.seq, steps.c.editables).where(steps.c.session_id == session_id, wanted))
    return {row.seq: editables(row.editables) for row in rows}


def tested_state(conn: Connection, session_id: str, n: int) -> Editables | None:
    """What the files held when test `n` was bought; None where nothing had been edited."""
    c = steps.c
    bought = select(func.min(c.seq)).where(c.session_id == session_id, c.tool == "test", c.ok, c.test == n)
    seq = conn.execute(bought).scalar() or 0
    edits = in_effect(change for change in changes(conn, session_id) if change.seq < seq)
    return states(conn, session_id, edits[-1:])[edits[-1]] if edits else None


def stored_bytes(conn: Connection, session_id: str) -> int:
    """About how many bytes the session's steps take: characters of what was sent, told and kept."""
    c = steps.c
    each = func.length(c.observation) + func.length(c.input) + func.coalesce(func.length(c.editables), 0)
    return conn.execute(select(func.sum(each)).where(c.session_id == session_id)).scalar() or 0
