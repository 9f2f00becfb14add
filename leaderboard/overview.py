"""What there is to say of every task at once: how much was tried, the best result, the baselines.

Statements only; they work inside the caller's transaction. Results count on one board at a time: numbers of different
boards have nothing to do with each other. Only those that succeeded can be the best.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Row, Select, or_, select

from leaderboard.board import RunnerClass
from leaderboard.choosing import summaries
from leaderboard.columns import METRIC, columns_at
from leaderboard.comparing import BoardEntries, board_entries, of_baselines
from leaderboard.comparison import Comparison
from leaderboard.naming import COUNTS, MORE_COMPUTE, baseline_agent
from leaderboard.table import Overview, Standing
from leaderboard.tables import boards, result_values, results, submissions

MAX_BASELINES = 12


@dataclass(frozen=True)
class Leader:
    """The best result of a board, beside its baselines."""

    best: Standing | None
    """The best submitted result that is no baseline's and took no more compute than `naming.MORE_COMPUTE`."""
    entries: BoardEntries
    comparison: Comparison | None
    """Of the best result's entry; None where there is nothing to compare."""


def overviews(connection: Connection) -> list[Overview]:
    """How far every task got on every board that has results, ordered by task, scale and the latest first."""
    found = []
    for one in summaries(connection):
        top = leader(connection, one.board.id)
        found.append(
            Overview(
                board=one.board,
                tests=one.rows,
                sessions=one.sessions,
                metric=top.entries.metric,
                best=top.best,
                baseline=next(iter(baselines(top.entries)), None),
                comparison=top.comparison,
            )
        )
    return found


def leader(connection: Connection, board: str) -> Leader:
    """Who leads a board."""
    metric = columns_at(connection, board).primary_metric
    best = None if metric is None else _best(connection, board, metric)
    if best is None:
        return Leader(best=None, entries=board_entries(connection, board), comparison=None)
    code = select(results.c.code_sha256).where(results.c.run_key == best.run_key)
    of_best = connection.execute(code).scalar_one()
    found = board_entries(connection, board, [of_best])
    return Leader(best=best, entries=found, comparison=found.comparison(of_best))


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
    """The number of the session's test that ranks first, of those without a value the last one; None if none counts.

    A session that was continued by another runner or on other data has results on several boards. Only those of one
    are compared: of the most trusted class of runner, then the one with the latest test.
    """
    c, value = results.c, result_values.c
    tests = (
        select(c.run_key, c.test, c.compute, c.unmet, c.board, boards.c.runner_class)
        .join_from(results, boards, boards.c.id == c.board)
        .where(c.session_id == session_id, c.status == COUNTS)
    )
    found = connection.execute(tests).all()
    if not found:
        return None
    order = list(RunnerClass)
    board = min(found, key=lambda row: (order.index(RunnerClass(row.runner_class)), -row.test)).board
    metric = columns_at(connection, board).primary_metric
    ranked: list[tuple[bool, bool, bool, float, int, int]] = []
    for row in found:
        if row.board != board:
            continue
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
    return min(ranked)[-1]


def _best(connection: Connection, board: str, metric: str) -> Standing | None:
    statement = (
        _ranked(board, metric)
        .join(submissions, submissions.c.run_key == results.c.run_key)
        .where(~of_baselines(), or_(results.c.compute.is_(None), results.c.compute <= MORE_COMPUTE))
        .limit(1)
    )
    row = connection.execute(statement).first()
    return None if row is None else _standing(row)


def _ranked(board: str, metric: str) -> Select[str, str, int, str, float]:
    c, value = results.c, result_values.c
    return (
        select(c.run_key, c.session_id, c.test, c.agent, value.value)
        .join_from(result_values, results, value.run_key == c.run_key)
        .where(value.kind == METRIC, value.name == metric, value.value.is_not(None))
        .where(c.board == board, c.status == COUNTS, c.unmet.is_(None))
        .order_by(value.value, c.finished_at, c.run_key)
    )


def _standing(row: Row[str, str, int, str, float]) -> Standing:
    return Standing(run_key=row.run_key, session_id=row.session_id, test=row.test, agent=row.agent, value=row.value)
