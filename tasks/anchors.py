"""A task's anchors: what its baselines reached at each scale, measured once and frozen for one version of the task.

They lie in `anchors.toml` beside `task.toml`, which they are no part of: measuring changes no question.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tasks.errors import TaskError
from tasks.fields import Label, Line
from tasks.parse import check_tables, parse_toml
from tasks.schema import TomlTable
from tasks.source import read_source

FILE = "anchors.toml"

_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}$")]


class AnchorTable(TomlTable):
    """What one metric of one stage is measured against."""

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
    def _in_order(self) -> AnchorTable:
        sign = 1 if self.better == "higher" else -1
        if not sign * self.floor <= sign * self.ref <= sign * self.bound:
            order = "floor <= ref <= bound" if sign > 0 else "floor >= ref >= bound"
            raise ValueError(f"where {self.better} is better, {order} is required")
        return self


class ProvenanceTable(TomlTable):
    """Where the values come from: the day, the version of this project, and the machine."""

    date: date
    ringfence: Line
    runner: Line
    hardware: Line
    torch: Line


class ScaleAnchors(TomlTable):
    """All anchors of one scale, and what they were measured with."""

    task_version: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Of the task that was measured: results of any other version are not scored by them."""
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=1 << 63)]], Field(min_length=1, max_length=100)]
    provenance: ProvenanceTable
    metrics: Annotated[list[AnchorTable], Field(min_length=1, max_length=100)]
    """In the order of the leaderboard's columns."""


class AnchorsTable(TomlTable):
    scales: dict[Label, ScaleAnchors]


def load_anchors(folder: Path) -> Mapping[str, ScaleAnchors]:
    """The anchors of the task in `folder` by scale: an empty mapping if it has no such file. Raises TaskError."""
    file = folder / FILE
    source = read_source(folder, FILE, blame=(file, ""))
    return {} if source is None else check_tables(file, parse_toml(source), AnchorsTable).scales


def write_anchors(folder: Path, scale: str, anchors: ScaleAnchors) -> Path:
    """Write one scale's anchors into the task's folder; those of other scales stay as they are. Raises TaskError."""
    file = folder / FILE
    known = {**load_anchors(folder), scale: anchors}
    text = "\n".join(["# Written by `ringfence baseline run --write-anchors`.", *map(_text, known, known.values())])
    fresh = file.with_suffix(".toml.new")
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(file)
    except OSError as error:
        raise TaskError(file, "", f"cannot be written: {error.strerror}") from error
    return file


def _text(scale: str, anchors: ScaleAnchors) -> str:
    at = f'scales."{scale}"'
    about = anchors.provenance
    lines = [
        f"\n[{at}]",
        f'task_version = "{anchors.task_version}"',
        f"seeds = {anchors.seeds}",
        f"\n[{at}.provenance]",
        f"date = {about.date.isoformat()}",
        *(f"{name} = {_quoted(getattr(about, name))}" for name in ("ringfence", "runner", "hardware", "torch")),
    ]
    for one in anchors.metrics:
        lines += [f"\n[[{at}.metrics]]", f'metric = "{one.metric}"', f'stage = "{one.stage}"']
        lines += [f'better = "{one.better}"']
        lines += [f"{name} = {float(getattr(one, name))!r}" for name in ("floor", "ref", "bound", "weight")]
        lines += [] if one.noise is None else [f"noise = {float(one.noise)!r}"]
        lines += [f"\n[{at}.metrics.baselines]"] if one.baselines else []
        lines += [f'"{name}" = {[float(value) for value in values]}' for name, values in one.baselines.items()]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
