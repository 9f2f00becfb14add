"""What there is to say of every task at once: how much was tried, the best result, the baselines.

Statements only; they work inside the caller's transaction. Results count at one scale at a time: numbers of different
scales have nothing to do with each other. Only those that succeeded can be the best.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import Connection, Row, Select, case, func, or_, select

from leaderboard.columns import METRIC, columns_at
from leaderboard.comparing import BoardEntries, board_entries, of_baselines
from leaderboard.comparison import Comparison
from leaderboard.naming import COUNTS, MORE_COMPUTE, baseline_agent, ranking_column
from leaderboard.table import Overview, Standing
from leaderboard.tables import result_columns, result_values, results, submissions

MAX_BASELINES = 12


@dataclass(frozen=True)
class Leader:
    """The best result of a board, beside its baselines."""

    best: Standing | None
    """The best submitted result that is no baseline's and took no more compute than `naming.MORE_COMPUTE`."""
    board: BoardEntries
    comparison: Comparison | None
    """Of the best result's entry; None where there is nothing to compare."""


def overviews(connection: Connection) -> list[Overview]:
    """How far every task got at every scale that has results, ordered by the task's id and the scale's name."""
    c = results.c
    sessions = func.count(case((c.confirms.is_(None), c.session_id)).distinct()).label("sessions")
    counted = (
        select(c.task_id, c.scale, func.count().label("tests"), sessions)
        .group_by(c.task_id, c.scale)
        .order_by(c.task_id, c.scale)
    )
    metrics = primary_metrics(connection)
    found = []
    for row in connection.execute(counted):
        top = leader(connection, row.task_id, row.scale, metrics.get((row.task_id, row.scale)))
        found.append(
            Overview(
                task_id=row.task_id,
                scale=row.scale,
                tests=row.tests,
                sessions=row.sessions,
                metric=top.board.metric,
                best=top.best,
                baseline=next(iter(baselines(top.board)), None),
                comparison=top.comparison,
            )
        )
    return found


def primary_metrics(connection: Connection) -> dict[tuple[str, str], str]:
    """The column that results are ranked by, by task and scale; where no column ranks them, there is no such key."""
    c = result_columns.c
    statement = select(c.task_id, c.scale, c.name).where(c.kind == METRIC).order_by(c.position, c.name)
    columns: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for row in connection.execute(statement):
        columns[row.task_id, row.scale].append(row.name)
    return {where: column for where, names in columns.items() if (column := ranking_column(names)) is not None}


def leader(connection: Connection, task_id: str, scale: str, metric: str | None) -> Leader:
    """Who leads a task at a scale by this column, the one that ranks there."""
    best = None if metric is None else _best(connection, task_id, scale, metric)
    if best is None:
        return Leader(best=None, board=board_entries(connection, task_id, scale), comparison=None)
    code = select(results.c.code_sha256).where(results.c.run_key == best.run_key)
    of_best = connection.execute(code).scalar_one()
    board = board_entries(connection, task_id, scale, [of_best])
    return Leader(best=best, board=board, comparison=board.comparison(of_best))


def baselines(board: BoardEntries) -> list[Standing]:
    """Each baseline's mean over its seeds, best first, at most MAX_BASELINES; submitted or not, they are the operator's
    own. The unedited file is one whoever ran it.
    """
    by_name: dict[str, Standing] = {}
    for one in board.baselines:
        first = one.first
        standing = Standing(
            run_key=first.run_key,
            session_id=first.session_id,
            test=first.test,
            agent=baseline_agent(one.name),
            value=one.mean,
        )
        by_name.setdefault(one.name, standing)
    return list(by_name.values())[:MAX_BASELINES]


def best_of_session(connection: Connection, session_id: str) -> int | None:
    """The number of the session's test that ranks first, of those without a value the last one; None if none counts."""
    c, value = results.c, result_values.c
    tests = select(c.run_key, c.test, c.compute, c.task_id, c.scale).where(
        c.session_id == session_id, c.status == COUNTS
    )
    ranked = []
    for row in connection.execute(tests).all():
        metric = columns_at(connection, row.task_id, row.scale).primary_metric
        of_row = select(value.value).where(value.run_key == row.run_key, value.kind == METRIC, value.name == metric)
        measured = connection.execute(of_row).scalar()
        more = row.compute is not None and row.compute > MORE_COMPUTE
        ranked.append(
            (measured is None, more, measured or 0.0, row.test if measured is not None else -row.test, row.test)
        )
    return min(ranked)[-1] if ranked else None


def _best(connection: Connection, task_id: str, scale: str, metric: str) -> Standing | None:
    statement = (
        _ranked(task_id, scale, metric)
        .join(submissions, submissions.c.run_key == results.c.run_key)
        .where(~of_baselines(), or_(results.c.compute.is_(None), results.c.compute <= MORE_COMPUTE))
        .limit(1)
    )
    row = connection.execute(statement).first()
    return None if row is None else _standing(row)


def _ranked(task_id: str, scale: str, metric: str) -> Select[str, str, int, str, float]:
    c, value = results.c, result_values.c
    return (
        select(c.run_key, c.session_id, c.test, c.agent, value.value)
        .join_from(result_values, results, value.run_key == c.run_key)
        .where(value.kind == METRIC, value.name == metric, value.value.is_not(None))
        .where(c.task_id == task_id, c.scale == scale, c.status == COUNTS)
        .order_by(value.value, c.finished_at, c.run_key)
    )


def _standing(row: Row[str, str, int, str, float]) -> Standing:
    return Standing(run_key=row.run_key, session_id=row.session_id, test=row.test, agent=row.agent, value=row.value)
