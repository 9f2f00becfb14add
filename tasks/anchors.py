"""A task's anchors: what its baselines reached at each scale, measured once and frozen for one version of the task.

They lie in `anchors.toml` beside `task.toml`, which they are no part of: measuring changes no question.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tasks.fields import Label, Line
from tasks.parse import check_tables, parse_toml
from tasks.schema import Table
from tasks.source import read_source

FILE = "anchors.toml"

_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}$")]


class MetricAnchor(Table):
    """One metric of one stage."""

    metric: _Name
    stage: Label
    better: Literal["lower", "higher"]
    floor: _Finite
    """The worst baseline's mean: scores 0."""
    ref: _Finite
    """The best baseline's mean: scores 0.5."""
    bound: _Finite
    """What no method can pass: scores 1."""
    weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    """Among the metrics of its stage; 0 leaves it out."""
    noise: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Standard deviation over seeds."""
    baselines: dict[_Name, list[_Finite]] = Field(default_factory=dict)
    """What each baseline reached, in the order of the seeds."""

    @model_validator(mode="after")
    def _in_order(self) -> MetricAnchor:
        sign = 1 if self.better == "higher" else -1
        if not sign * self.floor <= sign * self.ref <= sign * self.bound:
            order = "floor <= ref <= bound" if sign > 0 else "floor >= ref >= bound"
            raise ValueError(f"where {self.better} is better, {order} is required")
        return self


class Provenance(Table):
    """Where the values come from."""

    date: date
    ringfence: Line
    runner: Line
    hardware: Line
    torch: Line


class ScaleAnchors(Table):
    """One scale's."""

    task_version: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Of the task that was measured: results of any other version are not scored by them."""
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=1 << 63)]], Field(min_length=1, max_length=100)]
    provenance: Provenance
    metrics: Annotated[list[MetricAnchor], Field(min_length=1, max_length=100)]
    """In the order of the leaderboard's columns."""


class AnchorsTable(Table):
    scales: dict[Label, ScaleAnchors]


def load_anchors(folder: Path) -> Mapping[str, ScaleAnchors]:
    """By scale; none if the task in `folder` has no such file. Raises TaskError."""
    file = folder / FILE
    source = read_source(folder, FILE, blame=(file, ""))
    return {} if source is None else check_tables(file, parse_toml(source), AnchorsTable).scales
