"""From what baselines reached to the anchors of a task at a scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from statistics import fmean
from typing import Literal

from env.lifecycle.plan import on_gpus
from env.lifecycle.unedited import Unedited, relative
from env.operators.measure.play import TEMPLATE, BaselineOutcome
from env.operators.measure.spread import Measured, SeedSpread, pooled, spread_of
from leaderboard.baseline_results import BaselineResult
from leaderboard.naming import is_ranking, lower_is_better, split_column
from ringfence.api.distribution import own_version
from tasks.anchors import AnchorTable, ProvenanceTable, ScaleAnchors
from tasks.model import Task

APART = 3.0
"""Standard errors that best and worst baseline have to be apart for a metric to count. For a metric that results are
not ranked by, standard deviations of one test: what says little of a single test would add its luck to every score."""


@dataclass(frozen=True, kw_only=True)
class Measurements:
    """What was measured on one data."""

    data: str
    """The `data_key` of that data."""
    results: Sequence[BaselineResult]
    unedited: Unedited | None
    """Where anchors are relative, the unedited file on the same data."""


class NotMeasured(Exception):
    """What was played does not make anchors; the text says what is missing."""


def check_all_succeeded(outcomes: Sequence[BaselineOutcome]) -> None:
    """Raises NotMeasured for the first test that did not succeed, and for one with a value that was not finite."""
    for one in outcomes:
        if not one.succeeded:
            raise NotMeasured(f"{one.test.name} with seed {one.test.seed} ended as {one.status}")
        for (metric, stage), value in one.metrics.items():
            if value is None:
                raise NotMeasured(f"{one.test.name} with seed {one.test.seed} has no finite {metric} in {stage}")


def anchors(
    task: Task,
    scale: str,
    measurements: Sequence[Measurements],
    seeds: Sequence[int] | None,
    day: date,
) -> ScaleAnchors:
    """The anchors of one scale of the task, from its baselines at these seeds on each data; without `seeds` at all that
    every baseline was run at there. Raises NotMeasured.
    """
    metrics = [anchor(one) for one in measured(task, measurements, seeds)]
    used = {seed for one in measurements for seed in _seeds(task, one, seeds)}
    machine = measurements[-1].results[-1].machine
    gpus = machine.get("gpus", "none") if on_gpus(task.scales[scale]) else "none"
    return ScaleAnchors(
        task_version=task.version,
        question=task.question(scale),
        relative=all(one.unedited is not None for one in measurements),
        data=[one.data for one in measurements],
        seeds=sorted(used),
        provenance=ProvenanceTable(
            date=day,
            ringfence=own_version(),
            runner=machine.get("runner", "unknown"),
            hardware=(machine.get("cpu", "unknown") if gpus == "none" else gpus)[:200],
            torch=machine.get("torch", "none"),
        ),
        metrics=metrics,
    )


def measured(task: Task, measurements: Sequence[Measurements], seeds: Sequence[int] | None = None) -> list[Measured]:
    """By metric and stage, in the order of the leaderboard's columns. Raises NotMeasured unless every baseline has
    every value.
    """
    names = [baseline.name for baseline in task.baselines]
    if _unedited_answers(task, measurements):
        names = [TEMPLATE, *names]
    found: dict[str, dict[str, list[float]]] = {}
    means_of = None
    for one in measurements:
        here = one.unedited
        if here is not None:
            means_of = len(here.by_seed)
        for name in names:
            if name == TEMPLATE and here is not None:
                continue
            for seed in _seeds(task, one, seeds):
                for column, value in _metrics(one, name, seed).items():
                    metric = split_column(column)[0]
                    if here is not None and metric not in here.metrics:
                        continue  # an accuracy: of a hundred drawn questions, it has five points of sampling error
                    figure = value if here is None else relative(metric, value, here.metrics[metric])
                    found.setdefault(column, {}).setdefault(name, []).append(figure)
        for column in found if here is not None and TEMPLATE in names else ():
            metric = split_column(column)[0]
            assert here is not None
            own = [relative(metric, each[metric], here.metrics[metric]) for each in here.by_seed.values()]
            found[column].setdefault(TEMPLATE, []).extend(own)
    wanted = sum(len(_seeds(task, one, seeds)) for one in measurements)
    for column, values in found.items():
        for name, each in values.items():
            if name != TEMPLATE and len(each) != wanted:
                raise NotMeasured(f"{name} has no finite {column} with every seed")
    if not found:
        raise NotMeasured("no stage of this scale measures anything")
    return [
        Measured(*split_column(column), {name: tuple(values[name]) for name in names if name in values}, means_of)
        for column, values in found.items()
    ]


def _seeds(task: Task, one: Measurements, wanted: Sequence[int] | None) -> Sequence[int]:
    """Those wanted, or all that every baseline of the task was run at on this data. Raises NotMeasured for none."""
    if wanted is not None:
        return wanted
    by_name = [{each.seed for each in one.results if each.name == baseline.name} for baseline in task.baselines]
    common = set.intersection(*by_name) if by_name else {each.seed for each in one.results}
    if not common:
        raise NotMeasured(f"there is no seed at which every baseline was run on data {one.data[:12]}")
    return sorted(common)


def _unedited_answers(task: Task, measurements: Sequence[Measurements]) -> bool:
    """Whether the unedited file is a baseline. Where a task asks for more than a low loss, it may be what is to be
    replaced: then no result of it lacks nothing. It is still what relative figures are relative to.
    """
    played = {result.name for one in measurements for result in one.results}
    return task.cost_growth is None or TEMPLATE in played


def _metrics(one: Measurements, name: str, seed: int) -> Mapping[str, float]:
    found = next((result for result in one.results if (result.name, result.seed) == (name, seed)), None)
    if found is None:
        raise NotMeasured(f"{name} has no submitted result with seed {seed} on data {one.data[:12]}")
    return found.metrics


def anchor(measured: Measured) -> AnchorTable:
    """Anchor one metric by its measurements.

    It weighs nothing where it does not tell the best baseline from the worst, for its scores would be those of luck;
    and where the best baseline has reached its bound, for nobody could be better.
    """
    better: Literal["lower", "higher"] = "lower" if lower_is_better(measured.metric) else "higher"
    means = {name: fmean(values) for name, values in measured.baselines.items()}
    order = ranked(measured)
    best, worst = order[0], order[-1]
    compared = {best, TEMPLATE} & means.keys()
    noise = _noise(measured, sorted(compared))
    bound = _bound(measured.metric, None if measured.means_of else means[best])
    reached = not measured.means_of and bound in measured.baselines[best]
    return AnchorTable(
        metric=measured.metric,
        stage=measured.stage,
        better=better,
        floor=means[worst],
        ref=means[best],
        bound=bound,
        weight=0.0 if reached or not _tells(measured, best, worst) else 1.0,
        noise=None if noise is None else noise.deviation,
        noise_df=None if noise is None else noise.freedom,
        baselines={name: list(values) for name, values in measured.baselines.items()},
    )


def ranked(measured: Measured) -> list[str]:
    """The baselines by their means, the best first."""
    means = {name: fmean(values) for name, values in measured.baselines.items()}
    return sorted(means, key=lambda name: means[name], reverse=not lower_is_better(measured.metric))


def _tells(measured: Measured, best: str, worst: str) -> bool:
    """Whether the metric tells the best baseline from the worst."""
    apart = abs(fmean(measured.baselines[best]) - fmean(measured.baselines[worst]))
    noise = _noise(measured, [best, worst])
    if noise is None:
        return apart > 0
    seeds = min(len(measured.baselines[best]), len(measured.baselines[worst]))
    return apart > APART * noise.deviation * (math.sqrt(2 / seeds) if is_ranking(measured.metric) else 1.0)


def _bound(metric: str, best: float | None) -> float:
    """What a model reaches that is never surprised and never wrong: 0 nats, a perplexity of 1, 100 per cent; or what
    the best baseline reached, should that be better.

    The entropy of text would be a nearer bound for a loss, but nobody knows it. The exponent makes up for the distance:
    0.5 is the best baseline wherever the bound is.
    """
    if not lower_is_better(metric):
        return max(100.0, best or 0.0)
    bound = 1.0 if metric.endswith("ppl") else 0.0
    return bound if best is None else min(bound, best)


def _noise(measured: Measured, names: Sequence[str]) -> SeedSpread | None:
    """The spread of one test, pooled over the baselines of these names: those that others are compared with. None where
    no seeds repeat.
    """
    spreads = [spread for name in names if (spread := spread_of(measured, name)) is not None]
    return pooled(spreads) if spreads else None
