"""The statements that keep scores: computed when a result is recorded, or when its task's anchors become known.

Kept beside the metrics, so that a table sorts by score as it does by any metric. They work inside the caller's
transaction and never commit.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, and_, delete, insert, select

from leaderboard.columns import METRIC, SCORE
from leaderboard.naming import COUNTS
from leaderboard.score_formula import ScoreFormula
from leaderboard.tables import anchors as anchors_table
from leaderboard.tables import result_values, results


def adopt(connection: Connection, formula: ScoreFormula) -> bool:
    """Score every result of the anchors' task version and scale that counts by them, now and from now on.

    False, and nothing changes, if they are the ones in use.
    """
    c = anchors_table.c
    these = and_(c.task_version == formula.task_version, c.scale == formula.scale)
    definition = formula.to_json()
    if connection.execute(select(c.definition).where(these)).scalar() == definition:
        return False
    row = {"task_version": formula.task_version, "scale": formula.scale, "definition": definition}
    connection.execute(delete(anchors_table).where(these))
    connection.execute(insert(anchors_table).values(row))
    _score_again(connection, formula)
    return True


def formula_of(connection: Connection, task_version: str, scale: str) -> ScoreFormula | None:
    """The formula in use for results of a task version at a scale; None where the task has no anchors there."""
    c = anchors_table.c
    found = connection.execute(select(c.definition).where(c.task_version == task_version, c.scale == scale)).scalar()
    return None if found is None else ScoreFormula.from_json(found)


def add_scores(connection: Connection, formula: ScoreFormula, metrics: Mapping[str, Mapping[str, float]]) -> None:
    """Store what results score; `metrics` holds their metrics by run key. A score without a value gets no row."""
    rows = [
        {"run_key": run_key, "kind": SCORE, "name": name, "position": position, "value": value}
        for run_key, measured in metrics.items()
        for position, (name, value) in enumerate(_scores(formula, measured).items())
        if value is not None
    ]
    if rows:
        connection.execute(insert(result_values), rows)


def _scores(formula: ScoreFormula, metrics: Mapping[str, float]) -> dict[str, float | None]:
    return {"score": formula.score(metrics), "delta_noise": formula.delta_noise(metrics)}


def _score_again(connection: Connection, formula: ScoreFormula) -> None:
    c, value = results.c, result_values.c
    theirs = and_(c.task_version == formula.task_version, c.scale == formula.scale)
    scored = select(c.run_key).where(theirs)
    connection.execute(delete(result_values).where(value.kind == SCORE, value.run_key.in_(scored)))
    measured = (
        select(value.run_key, value.name, value.value)
        .join_from(results, result_values, and_(value.run_key == c.run_key, value.kind == METRIC))
        .where(theirs, c.status == COUNTS, c.unmet.is_(None))
    )
    metrics: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for row in connection.execute(measured):
        metrics[row.run_key][row.name] = math.nan if row.value is None else row.value
    add_scores(connection, formula, metrics)
