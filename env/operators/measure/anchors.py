"""From the outcomes of baselines to the anchors of a task at a scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from statistics import fmean, stdev
from typing import Literal

from env.operators.measure.play import BaselineOutcome
from leaderboard.naming import lower_is_better
from ringfence.api.distribution import own_version
from tasks.anchors import AnchorTable, ProvenanceTable, ScaleAnchors
from tasks.model import Task

APART = 3.0
"""Standard errors that best and worst baseline have to be apart for a metric to count."""


@dataclass(frozen=True)
class Measured:
    """What each baseline reached in one metric of one stage, a value per seed."""

    metric: str
    stage: str
    baselines: Mapping[str, tuple[float, ...]]


class NotMeasured(Exception):
    """The baselines played do not make anchors; the text says what is missing."""


def anchors(task: Task, outcomes: Sequence[BaselineOutcome], machine: Mapping[str, str], day: date) -> ScaleAnchors:
    """The anchors of one scale of the task; `machine` is what the runner says of its host. Raises NotMeasured."""
    gpus = machine.get("gpus", "none")
    return ScaleAnchors(
        task_version=task.version,
        seeds=list(dict.fromkeys(one.test.seed for one in outcomes)),
        provenance=ProvenanceTable(
            date=day,
            ringfence=own_version(),
            runner=machine.get("runner", "unknown"),
            hardware=(machine.get("cpu", "unknown") if gpus == "none" else gpus)[:200],
            torch=machine.get("torch", "none"),
        ),
        metrics=[anchor(one) for one in measured(outcomes)],
    )


def measured(outcomes: Sequence[BaselineOutcome]) -> list[Measured]:
    """By metric and stage, in the order they came in. Raises NotMeasured unless all succeeded and have all values."""
    for one in outcomes:
        if not one.succeeded:
            raise NotMeasured(f"{one.test.name} with seed {one.test.seed} ended as {one.status}")
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    for one in outcomes:
        for key, value in one.metrics.items():
            if value is None:
                raise NotMeasured(f"{one.test.name} with seed {one.test.seed} has no finite {key[0]} in {key[1]}")
            found.setdefault(key, {}).setdefault(one.test.name, []).append(value)
    for (metric, stage), values in found.items():
        if sum(map(len, values.values())) != len(outcomes):
            raise NotMeasured(f"not every test has a {metric} in {stage}")
    if not found:
        raise NotMeasured("no stage of this scale measures anything")
    return [
        Measured(metric, stage, {name: tuple(each) for name, each in values.items()})
        for (metric, stage), values in found.items()
    ]


def anchor(measured: Measured) -> AnchorTable:
    """Anchor one metric by its measurements.

    A metric that does not tell the best baseline from the worst weighs nothing: its scores would be those of luck.
    """
    better: Literal["lower", "higher"] = "lower" if lower_is_better(measured.metric) else "higher"
    noise = _noise(list(measured.baselines.values()))
    seeds = min(map(len, measured.baselines.values()))
    means = [fmean(values) for values in measured.baselines.values()]
    worst, best = (max(means), min(means)) if better == "lower" else (min(means), max(means))
    return AnchorTable(
        metric=measured.metric,
        stage=measured.stage,
        better=better,
        floor=worst,
        ref=best,
        bound=_bound(measured.metric, best),
        weight=1.0 if abs(best - worst) > APART * _error(noise, seeds) else 0.0,
        noise=noise,
        baselines={name: list(values) for name, values in measured.baselines.items()},
    )


def _bound(metric: str, best: float) -> float:
    """What a model reaches that is never surprised and never wrong: 0 nats, a perplexity of 1, 100 per cent.

    The entropy of text would be a nearer bound for a loss, but nobody knows it. The exponent makes up for the distance:
    0.5 is the best baseline wherever the bound is.
    """
    if not lower_is_better(metric):
        return max(100.0, best)
    return min(1.0 if metric.endswith("ppl") else 0.0, best)


def _noise(baselines: list[tuple[float, ...]]) -> float | None:
    """The standard deviation over seeds, pooled over the baselines: their means differ, but this hardly does.

    None where no seeds repeat.
    """
    repeated = [values for values in baselines if len(values) > 1]
    if not repeated:
        return None
    return math.sqrt(
        sum((len(values) - 1) * stdev(values) ** 2 for values in repeated) / sum(len(values) - 1 for values in repeated)
    )


def _error(noise: float | None, seeds: int) -> float:
    """Standard error of the difference of two baselines' means."""
    return 0.0 if noise is None else noise * math.sqrt(2 / seeds)
