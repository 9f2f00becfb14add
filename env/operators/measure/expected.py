"""What the anchors say that a baseline scores on the data of this installation, and how far one test may be off."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from env.lifecycle.unedited import SEEDS, absolute, relative
from env.operators.measure.play import TEMPLATE
from env.operators.measure.spread import Measured, pooled, spread_of
from env.service.scoring import ScaleScoring
from leaderboard.baseline_results import BaselineResult
from leaderboard.naming import is_perplexity, is_ranking, metric_column
from leaderboard.score_formula import ScoreFormula

NOISE = 3.0
"""Standard deviations that count as noise: of a hundred honest comparisons, a quarter of one lies outside."""
ALIKE = 2.0
"""Deviations that differ by no more than this factor are taken for one: some methods' figures spread far more."""


@dataclass(frozen=True, kw_only=True)
class BesideAnchor:
    """A baseline as it came out here, beside its anchors."""

    name: str
    seeds: tuple[int, ...]
    score: float | None
    """The mean over these seeds."""
    expected: float | None
    """The score of its anchor."""
    low: float | None
    """The lowest and the highest score that noise explains: what every metric has at the ends of its range."""
    high: float | None
    loss: float
    """The mean of what results are ranked by, as a difference to the unedited file where anchors are relative."""
    loss_expected: float
    loss_noise: float
    """NOISE standard deviations of it, for a single test beside the anchor's mean."""

    @property
    def within(self) -> bool:
        """Whether score and loss are within noise of the anchor's."""
        if self.score is None or self.low is None or self.high is None:
            return False
        return self.low <= self.score <= self.high and abs(self.loss - self.loss_expected) <= self.loss_noise


def compare(scoring: ScaleScoring, results: Sequence[BaselineResult]) -> list[BesideAnchor]:
    """Every baseline that has results among these, which are of the formula's data."""
    formula, anchors = scoring.formula, scoring.anchors
    assert formula is not None
    assert anchors is not None
    by_name: dict[str, list[BaselineResult]] = {}
    for one in results:
        by_name.setdefault(one.name, []).append(one)
    known = {name for table in anchors.metrics for name in table.baselines}
    return [_compare(name, found, scoring, formula) for name, found in by_name.items() if name in known]


def _compare(name: str, found: Sequence[BaselineResult], scoring: ScaleScoring, formula: ScoreFormula) -> BesideAnchor:
    assert scoring.anchors is not None
    unedited: Mapping[str, float] = {} if scoring.unedited is None else scoring.unedited.metrics
    middle: dict[str, float] = {}
    worse: dict[str, float] = {}
    better: dict[str, float] = {}
    ranking: tuple[float, float, float] = (math.nan,) * 3
    for table in scoring.anchors.metrics:
        column = metric_column(table.metric, table.stage)
        if not table.weight and not is_ranking(table.metric):
            continue
        # Perplexities that are not relative are taken relative to 1: noise is a share of them.
        base = unedited.get(table.metric, 1.0 if is_perplexity(table.metric) else 0.0)
        if scoring.anchors.relative:
            figures = {other: tuple(values) for other, values in table.baselines.items()}
        else:
            figures = {
                other: tuple(relative(table.metric, value, base) for value in values)
                for other, values in table.baselines.items()
            }
        seeds = len(SEEDS) if scoring.anchors.relative else None
        mean, noise = _range(Measured(table.metric, table.stage, figures, seeds), name)
        down, up = mean - noise, mean + noise
        low, high = (up, down) if table.better == "lower" else (down, up)
        for into, figure in ((middle, mean), (worse, low), (better, high)):
            into[column] = absolute(table.metric, figure, base)
        if is_ranking(table.metric):
            here = fmean(relative(table.metric, one.metrics[column], base) for one in found)
            ranking = (here, mean, noise)
    scores = [score for one in found if (score := formula.score(one.metrics)) is not None]
    return BesideAnchor(
        name=name,
        seeds=tuple(one.seed for one in found),
        score=fmean(scores) if scores else None,
        expected=formula.score(middle),
        low=formula.score(worse),
        high=formula.score(better),
        loss=ranking[0],
        loss_expected=ranking[1],
        loss_noise=ranking[2],
    )


def _range(measured: Measured, name: str) -> tuple[float, float]:
    """The mean of a baseline's figures, and how far another test's may be from it."""
    figures = measured.baselines[name]
    own = spread_of(measured, name)
    if own is None:
        return fmean(figures), 0.0
    # What spreads alike is estimated better together than alone.
    spreads = [one for other in measured.baselines if (one := spread_of(measured, other)) is not None]
    spread = pooled([one for one in spreads if own.deviation <= ALIKE * one.deviation <= ALIKE**2 * own.deviation])
    # The unedited file's own figures are deviations from its mean here, whose error its spread holds.
    error = 1.0 if name == TEMPLATE and measured.means_of else math.sqrt(1 + 1 / len(figures))
    return fmean(figures), student(spread.freedom) * spread.deviation * error


def student(freedom: int) -> float:
    """As many standard deviations as NOISE are for a normal distribution, where the deviation was itself estimated with
    so many degrees of freedom (Abramowitz and Stegun 26.7.5; within 2 per cent from 5 on).
    """
    z, n = NOISE, float(freedom)
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
    )
