"""A result's score against its task's anchors, by MLS-Bench's formula (arXiv 2605.08678). Numbers in, number out.

The worst baseline scores 0, the best one 0.5, the bound 1; `delta_noise` says how much of a difference is luck.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from leaderboard.naming import ranking_column


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """What one metric of one stage is measured against, all in the metric's own unit.

    Which way is better follows from `floor` and `bound`: losses have a bound below their floor.
    """

    metric: str
    """As a leaderboard's column: `<metric>_<label>`."""
    stage: str
    floor: float
    """The worst baseline: scores 0."""
    ref: float
    """The best baseline: scores 0.5."""
    bound: float
    """What no method can pass: scores 1."""
    weight: float = 1.0
    """Among the metrics of its stage; 0 leaves it out."""
    noise: float | None = None
    """Standard deviation over seeds; None where no seeds repeat."""
    noise_df: int | None = None
    """How many degrees of freedom the noise was estimated with; None where that is not known."""

    def score(self, value: float) -> float | None:
        """The value's score, 0 to 1.

        None for a value that is not finite, and where floor, ref and bound are not three values in that order.
        """
        span = self.bound - self.floor
        if not (math.isfinite(value) and span):
            return None
        ref = (self.ref - self.floor) / span
        if not 0 < ref < 1:
            return None
        way = (value - self.floor) / span
        if way <= 0:
            return 0.0
        return min(1.0, math.pow(way, math.log(0.5) / math.log(ref)))

    def advantage(self, value: float) -> float | None:
        """How much better the value is than the best baseline, in units of the noise; negative when it is worse."""
        if not (math.isfinite(value) and self.noise):
            return None
        return math.copysign(1.0, self.bound - self.floor) * (value - self.ref) / self.noise


@dataclass(frozen=True)
class ScoreFormula:
    """How results of one task version at one scale and on one data are scored: by all the anchors of that scale."""

    task_version: str
    scale: str
    anchors: tuple[Anchor, ...]
    """In the order of the metrics' columns."""
    data: str = ""
    """The `data_key` of the data that it holds for. Empty in formulas from before they named it: they score nothing
    new, and what they scored keeps its score."""

    def score(self, metrics: Mapping[str, float]) -> float | None:
        """The weighted mean in each stage, and the geometric mean of those over stages.

        None unless every metric that counts has a score.
        """
        stages: dict[str, list[tuple[float, float]]] = {}
        for anchor in self.anchors:
            if not anchor.weight:
                continue
            value = metrics.get(anchor.metric)
            scored = None if value is None else anchor.score(value)
            if scored is None:
                return None
            stages.setdefault(anchor.stage, []).append((anchor.weight, scored))
        if not stages:
            return None
        means = [sum(w * s for w, s in each) / sum(w for w, _ in each) for each in stages.values()]
        return math.prod(math.pow(mean, 1 / len(means)) for mean in means)

    def delta_noise(self, metrics: Mapping[str, float]) -> float | None:
        """The advantage over the best baseline, by what results are ranked by, in standard deviations over seeds."""
        column = ranking_column(anchor.metric for anchor in self.anchors)
        ranking = next((anchor for anchor in self.anchors if anchor.metric == column), None)
        value = None if ranking is None else metrics.get(ranking.metric)
        return None if ranking is None or value is None else ranking.advantage(value)

    def to_json(self) -> str:
        """The formula as JSON: the same text for the same anchors."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> ScoreFormula:
        """The inverse of `to_json`."""
        raw: dict[str, Any] = json.loads(text)
        return ScoreFormula(**{**raw, "anchors": tuple(Anchor(**anchor) for anchor in raw["anchors"])})
