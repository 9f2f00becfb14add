"""What there is to say of every task at once: how much was tried, the best result, the baselines.

Statements only; they work inside the caller's transaction. Results count on one board at a time: numbers of different
boards have nothing to do with each other. Only those that succeeded can be the best.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, or_, select

from leaderboard.board import RunnerClass
from leaderboard.choosing import ranking_columns, summaries
from leaderboard.columns import METRIC, columns_at
from leaderboard.naming import BASELINE_PREFIX, COUNTS, MORE_COMPUTE
from leaderboard.table import Overview, Standing
from leaderboard.tables import boards, result_values, results, submissions

MAX_BASELINES = 12
# The first text after all that begin with the prefix: what lies between the two is found by index.
_AFTER_BASELINES = BASELINE_PREFIX[:-1] + chr(ord(BASELINE_PREFIX[-1]) + 1)


def overviews(connection: Connection) -> list[Overview]:
    """How far every task got on every board that has results, ordered by task, scale and the latest first."""
    metrics = ranking_columns(connection)
    found = []
    for one in summaries(connection):
        metric = metrics.get(one.board.id)
        standing = baselines(connection, one.board.id, metric) if metric else []
        found.append(
            Overview(
                board=one.board,
                tests=one.rows,
                sessions=one.sessions,
                metric=metric,
                best=_best(connection, one.board.id, metric) if metric else None,
                baseline=standing[0] if standing else None,
            )
        )
    return found


def baselines(connection: Connection, board: str, metric: str) -> list[Standing]:
    """Each baseline's best result on a board, best first, at most MAX_BASELINES; submitted or not, they are the
    operator's own.
    """
    statement = _ranked(board, metric).where(_IS_BASELINE)
    by_agent: dict[str, Standing] = {}
    for row in connection.execute(statement):
        by_agent.setdefault(row.agent, _standing(row))
    return list(by_agent.values())[:MAX_BASELINES]


def best_of_session(connection: Connection, session_id: str) -> int | None:
    """The number of the session's test that ranks first, of those without a value the last one; None if none counts.

    A session that was continued by another runner or on other data has results on several boards. Only those of one
    are compared: of the most trusted class of runner, then the one with the latest test.
    """
    c, value = results.c, result_values.c
    tests = (
        select(c.run_key, c.test, c.compute, c.board, boards.c.runner_class)
        .join_from(results, boards, boards.c.id == c.board)
        .where(c.session_id == session_id, c.status == COUNTS)
    )
    found = connection.execute(tests).all()
    if not found:
        return None
    order = list(RunnerClass)
    board = min(found, key=lambda row: (order.index(RunnerClass(row.runner_class)), -row.test)).board
    metric = columns_at(connection, board).primary_metric
    ranked: list[tuple[bool, bool, float, int, int]] = []
    for row in found:
        if row.board != board:
            continue
        of_row = select(value.value).where(value.run_key == row.run_key, value.kind == METRIC, value.name == metric)
        measured = connection.execute(of_row).scalar()
        more = row.compute is not None and row.compute > MORE_COMPUTE
        ranked.append(
            (measured is None, more, measured or 0.0, row.test if measured is not None else -row.test, row.test)
        )
    return min(ranked)[-1]


def _best(connection: Connection, board: str, metric: str) -> Standing | None:
    statement = (
        _ranked(board, metric)
        .join(submissions, submissions.c.run_key == results.c.run_key)
        .where(~_IS_BASELINE, or_(results.c.compute.is_(None), results.c.compute <= MORE_COMPUTE))
        .limit(1)
    )
    row = connection.execute(statement).first()
    return None if row is None else _standing(row)


_IS_BASELINE: ColumnElement[bool] = and_(results.c.agent >= BASELINE_PREFIX, results.c.agent < _AFTER_BASELINES)


def _ranked(board: str, metric: str) -> Select[str, str, int, str, float]:
    c, value = results.c, result_values.c
    return (
        select(c.run_key, c.session_id, c.test, c.agent, value.value)
        .join_from(result_values, results, value.run_key == c.run_key)
        .where(value.kind == METRIC, value.name == metric, value.value.is_not(None))
        .where(c.board == board, c.status == COUNTS)
        .order_by(value.value, c.finished_at, c.run_key)
    )


def _standing(row: Row[str, str, int, str, float]) -> Standing:
    return Standing(run_key=row.run_key, session_id=row.session_id, test=row.test, agent=row.agent, value=row.value)
