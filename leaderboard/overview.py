"""What there is to say of every task at once: how much was tried, the best result, the baselines.

Statements only; they work inside the caller's transaction. Results count at one scale at a time: numbers of different
scales have nothing to do with each other. Only those that succeeded can be the best.
"""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, or_, select

from leaderboard.columns import METRIC, columns_at
from leaderboard.naming import BASELINE_PREFIX, COUNTS, MORE_COMPUTE, ranking_column
from leaderboard.table import Overview, Standing
from leaderboard.tables import result_columns, result_values, results, submissions

MAX_BASELINES = 12
# The first text after all that begin with the prefix: what lies between the two is found by index.
_AFTER_BASELINES = BASELINE_PREFIX[:-1] + chr(ord(BASELINE_PREFIX[-1]) + 1)


def overviews(connection: Connection) -> list[Overview]:
    """How far every task got at every scale that has results, ordered by the task's id and the scale's name."""
    c = results.c
    counted = (
        select(c.task_id, c.scale, func.count().label("tests"), func.count(c.session_id.distinct()).label("sessions"))
        .group_by(c.task_id, c.scale)
        .order_by(c.task_id, c.scale)
    )
    metrics = primary_metrics(connection)
    found = []
    for row in connection.execute(counted):
        metric = metrics.get((row.task_id, row.scale))
        best = metric and _best(connection, row.task_id, row.scale, metric)
        standing = baselines(connection, row.task_id, row.scale, metric) if metric else []
        found.append(
            Overview(
                task_id=row.task_id,
                scale=row.scale,
                tests=row.tests,
                sessions=row.sessions,
                metric=metric,
                best=best or None,
                baseline=standing[0] if standing else None,
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


def baselines(connection: Connection, task_id: str, scale: str, metric: str) -> list[Standing]:
    """Each baseline's best result, best first, at most MAX_BASELINES; submitted or not, they are the operator's own."""
    statement = _ranked(task_id, scale, metric).where(_IS_BASELINE)
    by_agent: dict[str, Standing] = {}
    for row in connection.execute(statement):
        by_agent.setdefault(row.agent, _standing(row))
    return list(by_agent.values())[:MAX_BASELINES]


def best_of_session(connection: Connection, session_id: str) -> int | None:
    """The number of the session's test that ranks first, of those without a value the last one; None if none counts."""
    c, value = results.c, result_values.c
    tests = select(c.run_key, c.test, c.compute, c.unmet, c.task_id, c.scale).where(
        c.session_id == session_id, c.status == COUNTS
    )
    ranked = []
    for row in connection.execute(tests).all():
        metric = columns_at(connection, row.task_id, row.scale).primary_metric
        of_row = select(value.value).where(value.run_key == row.run_key, value.kind == METRIC, value.name == metric)
        measured = connection.execute(of_row).scalar()
        more = row.compute is not None and row.compute > MORE_COMPUTE
        ranked.append(
            (
                measured is None,
                row.unmet is not None,
                more,
                measured or 0.0,
                row.test if measured is not None else -row.test,
                row.test,
            )
        )
    return min(ranked)[-1] if ranked else None


def _best(connection: Connection, task_id: str, scale: str, metric: str) -> Standing | None:
    statement = (
        _ranked(task_id, scale, metric)
        .join(submissions, submissions.c.run_key == results.c.run_key)
        .where(~_IS_BASELINE, or_(results.c.compute.is_(None), results.c.compute <= MORE_COMPUTE))
        .limit(1)
    )
    row = connection.execute(statement).first()
    return None if row is None else _standing(row)


_IS_BASELINE: ColumnElement[bool] = and_(results.c.agent >= BASELINE_PREFIX, results.c.agent < _AFTER_BASELINES)


def _ranked(task_id: str, scale: str, metric: str) -> Select[str, str, int, str, float]:
    c, value = results.c, result_values.c
    return (
        select(c.run_key, c.session_id, c.test, c.agent, value.value)
        .join_from(result_values, results, value.run_key == c.run_key)
        .where(value.kind == METRIC, value.name == metric, value.value.is_not(None))
        .where(c.task_id == task_id, c.scale == scale, c.status == COUNTS, c.unmet.is_(None))
        .order_by(value.value, c.finished_at, c.run_key)
    )


def _standing(row: Row[str, str, int, str, float]) -> Standing:
    return Standing(run_key=row.run_key, session_id=row.session_id, test=row.test, agent=row.agent, value=row.value)
