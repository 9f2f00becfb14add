"""What the baselines of a task reached, as anchors are made of it and compared with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select

from leaderboard.board import BoardKey
from leaderboard.columns import METRIC
from leaderboard.naming import COUNTS, baseline_name, is_baseline
from leaderboard.tables import result_texts, result_values, results, submissions


@dataclass(frozen=True, kw_only=True)
class BaselineResult:
    """A submitted result of a baseline that succeeded, and that lacks nothing its task asks for."""

    name: str
    """Of the baseline, without the prefix of its agent."""
    seed: int
    metrics: Mapping[str, float]
    """By column; a value that was not finite is left out."""
    machine: Mapping[str, str]
    """What its runner said of hardware and versions."""


def baseline_results(connection: Connection, board: BoardKey) -> list[BaselineResult]:
    """The baselines' results on a board, oldest first: of those with one name and seed, the last one."""
    c, value = results.c, result_values.c
    wanted = (
        select(c.run_key, c.agent, c.seed, result_texts.c.record)
        .join_from(results, result_texts)
        .join(submissions, submissions.c.run_key == c.run_key)
        .where(c.board == board.id, c.status == COUNTS, c.unmet.is_(None), c.seed.is_not(None))
        .order_by(c.finished_at, c.run_key)
    )
    found: dict[tuple[str, int], BaselineResult] = {}
    for row in connection.execute(wanted).all():
        if not is_baseline(row.agent):
            continue
        measured = (
            select(value.name, value.value)
            .where(value.run_key == row.run_key, value.kind == METRIC)
            .order_by(value.position)
        )
        metrics = {name: number for name, number in connection.execute(measured) if number is not None}
        one = BaselineResult(
            name=baseline_name(row.agent),
            seed=row.seed,
            metrics=metrics,
            machine=row.record.get("machine", {}),
        )
        found[one.name, one.seed] = one
    return list(found.values())
