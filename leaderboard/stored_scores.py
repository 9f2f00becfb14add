"""The statements that keep scores: computed when a result is recorded, or when its task's anchors become known.

Kept beside the metrics, so that a table sorts by score as it does by any metric. They work inside the caller's
transaction and never commit.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select

from leaderboard.columns import METRIC, SCORE
from leaderboard.naming import COUNTS
from leaderboard.score_formula import ScoreFormula
from leaderboard.tables import anchors as anchors_table
from leaderboard.tables import boards, result_values, results

_AT_ONCE = 500
"""Run keys in a statement: far below every database's limit on parameters."""


def adopt(connection: Connection, formula: ScoreFormula) -> bool:
    """Score every result of the formula's task version, scale and data that counts by it, now and from now on.

    False, and nothing changes, if it is the one in use.
    """
    c = anchors_table.c
    these = _of(formula.task_version, formula.scale, formula.data)
    definition = formula.to_json()
    if connection.execute(select(c.definition).where(these)).scalar() == definition:
        return False
    row = {
        "task_version": formula.task_version,
        "scale": formula.scale,
        "data": formula.data,
        "definition": definition,
    }
    connection.execute(delete(anchors_table).where(these))
    connection.execute(insert(anchors_table).values(row))
    _score_again(connection, formula)
    return True


def formula_of(connection: Connection, task_version: str, scale: str, data: str | None) -> ScoreFormula | None:
    """The formula in use for results of a task version at a scale and on the data of this key.

    None where the task has no anchors there, and where nobody knows which data it was.
    """
    if data is None:
        return None
    found = connection.execute(select(anchors_table.c.definition).where(_of(task_version, scale, data))).scalar()
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


def _of(task_version: str, scale: str, data: str) -> ColumnElement[bool]:
    c = anchors_table.c
    return and_(c.task_version == task_version, c.scale == scale, c.data == data)


def _score_again(connection: Connection, formula: ScoreFormula) -> None:
    c, value = results.c, result_values.c
    same = connection.execute(
        select(c.run_key)
        .join(boards, boards.c.id == c.board)
        .where(c.task_version == formula.task_version, c.scale == formula.scale)
        .where(c.status == COUNTS, c.unmet.is_(None), boards.c.data == formula.data)
    )
    keys = list(same.scalars())
    for start in range(0, len(keys), _AT_ONCE):
        some = keys[start : start + _AT_ONCE]
        connection.execute(delete(result_values).where(value.kind == SCORE, value.run_key.in_(some)))
        measured = select(value.run_key, value.name, value.value).where(value.kind == METRIC, value.run_key.in_(some))
        metrics: defaultdict[str, dict[str, float]] = defaultdict(dict)
        for row in connection.execute(measured):
            metrics[row.run_key][row.name] = math.nan if row.value is None else row.value
        add_scores(connection, formula, metrics)
