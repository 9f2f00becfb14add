"""What there is to beat: what baselines reached here, and how much of a difference is luck.

Statements only; they work inside the caller's transaction.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from sqlalchemy import Connection, select

from leaderboard.columns import METRIC
from leaderboard.naming import COUNTS, baseline_name, ranking_column
from leaderboard.overview import IS_BASELINE
from leaderboard.score_formula import ScoreFormula
from leaderboard.stored_scores import formula_of
from leaderboard.tables import result_values, results

MAX_RESULTS = 500
"""Of baselines that are looked at: far below every database's limit on parameters."""


@dataclass(frozen=True, kw_only=True)
class Reached:
    """What a baseline reached in the metric that ranks, the mean of its results."""

    name: str
    mean: float
    results: int


@dataclass(frozen=True, kw_only=True)
class ToBeat:
    """What results of one task version at one scale are compared with."""

    metric: str
    """The column that ranks; lower is better."""
    baselines: tuple[Reached, ...]
    """Those with results here, best first."""
    noise: float | None
    """Standard deviation of the metric over seeds of one code; None where it is not known."""
    formula: ScoreFormula | None
    """What scores come from; None where results of this scale have none."""

    def gap(self, metrics: Mapping[str, float]) -> float | None:
        """By how much the metric that ranks is below the best baseline's: positive is better. None where either is not
        known or not finite.
        """
        value = metrics.get(self.metric)
        if not self.baselines or value is None or not math.isfinite(value):
            return None
        return self.baselines[0].mean - value


def to_beat(connection: Connection, task_id: str, task_version: str, scale: str) -> ToBeat | None:
    """From the baselines' own results of this version and scale; None where no result of it could be ranked."""
    c, value = results.c, result_values.c
    # By task and agent alone, for which there is an index: of a task's rows few are baselines'.
    played = connection.execute(
        select(c.run_key, c.agent, c.scale, c.status, c.task_version).where(c.task_id == task_id, IS_BASELINE)
    ).all()
    wanted = (scale, COUNTS, task_version)
    agents = {row.run_key: row.agent for row in played if (row.scale, row.status, row.task_version) == wanted}
    found = connection.execute(
        select(value.run_key, value.name, value.value)
        .where(value.run_key.in_(list(agents)[:MAX_RESULTS]), value.kind == METRIC, value.value.is_not(None))
        .order_by(value.position, value.run_key)
    ).all()
    formula = formula_of(connection, task_version, scale)
    anchored = () if formula is None else formula.anchors
    metric = ranking_column((*(row.name for row in found), *(anchor.metric for anchor in anchored)))
    if metric is None:
        return None
    values: defaultdict[str, list[float]] = defaultdict(list)
    for row in found:
        if row.name == metric:
            values[baseline_name(agents[row.run_key])].append(row.value)
    noise = next((anchor.noise for anchor in anchored if anchor.metric == metric and anchor.noise), None)
    reached = (Reached(name=name, mean=fmean(each), results=len(each)) for name, each in values.items())
    return ToBeat(
        metric=metric,
        baselines=tuple(sorted(reached, key=lambda one: one.mean)),
        noise=noise or _pooled(list(values.values())),
        formula=formula,
    )


def _pooled(groups: Sequence[Sequence[float]]) -> float | None:
    """The standard deviation within groups of values; None where none has several, or they are equal."""
    several = [group for group in groups if len(group) > 1]
    freedom = sum(len(group) - 1 for group in several)
    if not freedom:
        return None
    return math.sqrt(sum((len(group) - 1) * variance(group) for group in several) / freedom) or None
