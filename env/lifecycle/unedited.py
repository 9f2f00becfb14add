"""What the unedited file reaches on the data of this installation, which relative anchors are relative to.

It is measured by the references of several seeds, once for each data folder and for all tasks with a built-in script:
unedited, they are one model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from env.lifecycle.plan import exam_data_set
from env.lifecycle.record import data_digests
from env.lifecycle.reference import find, recipe
from leaderboard.board import data_key
from leaderboard.naming import is_perplexity
from tasks.model import Scale, Task

SEEDS = (42, 43, 44)
"""Of n seeds, the mean adds a share of 1/n to the variance of every difference: with three, the standard deviation of
a test's difference is 1.15 times that of the test; one alone would make it 1.41, five 1.10."""


@dataclass(frozen=True, kw_only=True)
class Unedited:
    """The unedited file at one scale, on one data."""

    data: str
    """The `data_key` of that data."""
    metrics: Mapping[str, float]
    """By bare name, the mean over seeds: of perplexities, the geometric one."""
    by_seed: Mapping[int, Mapping[str, float]]


def data_here(scale: Scale, data_dir: Path | None) -> str | None:
    """The `data_key` that results at this scale have here; None where the data is not known, or invented."""
    return data_key(data_digests(scale, data_dir))


def measured_seeds(task: Task, scale: Scale, data_dir: Path | None) -> dict[int, Mapping[str, float]] | None:
    """What is known of the unedited file by seed.

    None where anchors are not relative to it: the script is an operator's own, or every installation has the same data.
    """
    data = data_here(scale, data_dir)
    if data_dir is None or data is None or exam_data_set(scale) != "smoke":
        return None
    found: dict[int, Mapping[str, float]] = {}
    for seed in SEEDS:
        wanted = recipe(task, scale, data_dir, seed)
        if wanted is None:
            return None
        reference = find(wanted, data_dir)
        if reference is not None and reference.table.data_key == data and reference.table.metrics:
            found[seed] = reference.table.metrics
    return found


def unedited(task: Task, scale: Scale, data_dir: Path | None) -> Unedited | None:
    """The unedited file on the data of this folder, once all seeds are measured."""
    found = measured_seeds(task, scale, data_dir)
    data = data_here(scale, data_dir)
    if found is None or data is None or len(found) < len(SEEDS):
        return None
    names = [name for name in found[SEEDS[0]] if all(name in each for each in found.values())]
    means = {name: _mean(name, [each[name] for each in found.values()]) for name in names}
    return Unedited(data=data, metrics=means, by_seed=found)


def _mean(metric: str, values: Sequence[float]) -> float:
    return math.exp(fmean(map(math.log, values))) if is_perplexity(metric) else fmean(values)


def relative(metric: str, value: float, unedited: float) -> float:
    """A figure relative to the unedited file's: a difference; of perplexities, the logarithm of their ratio."""
    return math.log(value / unedited) if is_perplexity(metric) else value - unedited


def absolute(metric: str, value: float, unedited: float) -> float:
    """The inverse of `relative`."""
    return unedited * math.exp(value) if is_perplexity(metric) else unedited + value
