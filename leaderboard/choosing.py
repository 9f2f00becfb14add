"""Which boards there are, and which of them is shown where an address names none.

Statements only; they work inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, exists, func, select

from leaderboard.board import BoardKey, RunnerClass
from leaderboard.columns import METRIC
from leaderboard.naming import COUNTS, ranking_column
from leaderboard.table import BoardSummary, UnknownBoard
from leaderboard.tables import board_columns, boards, results, submissions


@dataclass(frozen=True, kw_only=True)
class KnownBoard:
    """A board with what the choice among several depends on."""

    board: BoardKey
    last: datetime | None
    """When its latest result was finished, UTC; None where it has none yet."""
    measured: bool = False
    """Whether something on it succeeded."""


def known_boards(connection: Connection, task_id: str) -> list[KnownBoard]:
    """The boards of a task that have results, the latest first."""
    c = results.c
    last = select(func.max(c.finished_at)).where(c.board == boards.c.id).scalar_subquery()
    counts = exists().where(and_(c.board == boards.c.id, c.status == COUNTS))
    statement = select(boards, last.label("last"), counts.label("measured")).where(boards.c.task_id == task_id)
    found = [
        KnownBoard(board=_key(row), last=row.last, measured=bool(row.measured)) for row in connection.execute(statement)
    ]
    return sorted(found, key=lambda one: (_age(one), one.board.id))


def choose(
    known: Sequence[KnownBoard], here: Sequence[BoardKey], *, board: str | None = None, scale: str | None = None
) -> BoardKey | None:
    """The board of that id, or the one to show where none is named; None where there is none at all.

    `here` are those that the service's own results stand on now, a task's scales from small to large. Unless another
    is named the largest of these that has results is shown; failing that the latest of the most trusted class; failing
    that the first of `here`. Raises UnknownBoard.
    """
    here = [one for one in here if scale in (None, one.scale)]
    known = [one for one in known if scale in (None, one.board.scale)]
    if board is not None:
        named = next((one for one in (*here, *(one.board for one in known)) if one.id == board), None)
        if named is None:
            raise UnknownBoard(board, scale)
        return named
    for wanted in ([one for one in known if one.measured], known):
        with_results = {one.board for one in wanted}
        of_here = [one for one in here if one in with_results]
        if of_here:
            return of_here[-1]
    order = list(RunnerClass)
    others = sorted(known, key=lambda one: (order.index(one.board.runner_class), not one.measured, _age(one)))
    return next((one.board for one in others), next(iter(here), None))


def boards_of_results(connection: Connection, run_keys: Collection[str]) -> dict[str, str]:
    """The id of the board of each of these results, by run key; those that there are not have none."""
    c = results.c
    found = connection.execute(select(c.run_key, c.board).where(c.run_key.in_(run_keys)))
    return {row.run_key: row.board for row in found}


def summaries(connection: Connection) -> list[BoardSummary]:
    """Every board that has results at a glance, ordered by task, scale and the latest first."""
    c = results.c
    # From indexes alone: of a hundred thousand rows none is read. A confirmation is a session of one row, and nobody's.
    confirming = select(c.board, func.count().label("rows")).where(c.confirms.is_not(None)).group_by(c.board).subquery()
    sessions = func.count(c.session_id.distinct()).label("sessions")
    counted = select(c.board, func.count().label("rows"), sessions).group_by(c.board).subquery()
    last = select(func.max(c.finished_at)).where(c.board == boards.c.id).scalar_subquery().label("last")
    own = (counted.c.sessions - func.coalesce(confirming.c.rows, 0)).label("sessions")
    statement = (
        select(boards, counted.c.rows, own, last)
        .join(counted, counted.c.board == boards.c.id)
        .outerjoin(confirming, confirming.c.board == boards.c.id)
    )
    found = [
        BoardSummary(board=_key(row), rows=row.rows, sessions=row.sessions, last=row.last)
        for row in connection.execute(statement)
    ]
    return sorted(found, key=lambda one: (one.board.task_id, one.board.scale, -one.last.timestamp(), one.board.id))


def submitted(connection: Connection) -> dict[str, int]:
    """How many results of each board were submitted, by its id; none of a board without any."""
    c = results.c
    joined = submissions.join(results, c.run_key == submissions.c.run_key)
    found = connection.execute(select(c.board, func.count().label("count")).select_from(joined).group_by(c.board))
    return {row.board: row[1] for row in found}


def ranking_columns(connection: Connection) -> dict[str, str]:
    """The column that results are ranked by, by board; where no column ranks them, there is no such key."""
    c = board_columns.c
    statement = select(c.board, c.name).where(c.kind == METRIC).order_by(c.position, c.name)
    columns: dict[str, list[str]] = {}
    for row in connection.execute(statement):
        columns.setdefault(row.board, []).append(row.name)
    return {board: column for board, names in columns.items() if (column := ranking_column(names)) is not None}


def _key(row: Row[*tuple[Any, ...]]) -> BoardKey:
    return BoardKey(
        task_id=row.task_id,
        task_version=row.task_version,
        scale=row.scale,
        data=row.data,
        runner_class=RunnerClass(row.runner_class),
    )


def _age(one: KnownBoard) -> float:
    return 0.0 if one.last is None else -one.last.timestamp()
