"""How the tests of one baseline spread over seeds and data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import stdev

from env.operators.measure.play import TEMPLATE


@dataclass(frozen=True)
class Measured:
    """What each baseline reached in one metric of one stage: a value for each seed, for one data after another."""

    metric: str
    stage: str
    baselines: Mapping[str, tuple[float, ...]]
    means_of: int | None = None
    """In relative figures, of how many seeds the unedited file's mean is; its own values are deviations from it."""


@dataclass(frozen=True)
class SeedSpread:
    """The standard deviation of one test, and how many degrees of freedom it was estimated with."""

    deviation: float
    freedom: int


def pooled(spreads: Sequence[SeedSpread]) -> SeedSpread:
    """One estimate from several of the same deviation; at least one."""
    freedom = sum(one.freedom for one in spreads)
    return SeedSpread(math.sqrt(sum(one.freedom * one.deviation**2 for one in spreads) / freedom), freedom)


def spread_of(measured: Measured, name: str) -> SeedSpread | None:
    """How a baseline's tests spread over seeds, and over data where figures are relative; None for a single test.

    Relative figures of another baseline hold the error of the unedited file's mean already; its own, which are what
    that mean is of, hold none, though the next test of it will.
    """
    values = measured.baselines[name]
    seeds = measured.means_of
    if name == TEMPLATE and seeds:
        freedom = len(values) // seeds * (seeds - 1)
        return SeedSpread(math.sqrt(sum(value**2 for value in values) / freedom * (1 + 1 / seeds)), freedom)
    return SeedSpread(stdev(values), len(values) - 1) if len(values) > 1 else None
