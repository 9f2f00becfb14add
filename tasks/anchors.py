"""A task's anchors: what its baselines reached at each scale, measured once and frozen for one question.

They lie in `anchors.toml` beside `task.toml`, which they are no part of: measuring changes no question. Where every
installation has data of its own, they are relative: to the unedited file, which each installation measures for itself.
"""

from __future__ import annotations

import json
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
_WRITERS = "run --write-anchors` or `ringfence baseline freeze"

_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}$")]


class AnchorTable(TomlTable):
    """What one metric of one stage is measured against."""

    metric: _Name
    stage: Label
    better: Literal["lower", "higher"]
    floor: _Finite
    """The worst baseline's mean: scores 0. In relative anchors it is relative, like `ref` and `baselines`."""
    ref: _Finite
    """The best baseline's mean: scores 0.5."""
    bound: _Finite
    """What no method can pass: scores 1. Never relative."""
    weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    """Among the metrics of its stage; 0 leaves it out."""
    noise: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Standard deviation of one test over seeds, and over data where it is relative. Relative to the metric itself
    where a perplexity is: 0.1 is a tenth of it."""
    noise_df: Annotated[int, Field(ge=1)] | None = None
    """How many degrees of freedom it was estimated with; None in files from before that was noted."""
    baselines: dict[_Name, list[_Finite]] = Field(default_factory=dict)
    """What each baseline reached, in the order of the seeds, for one data after another."""


class ProvenanceTable(TomlTable):
    """Where the values come from: the day, the version of this project, and the machine."""

    date: date
    ringfence: Line
    runner: Line
    hardware: Line
    torch: Line


_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ScaleAnchors(TomlTable):
    """All anchors of one scale, and what they were measured with."""

    task_version: _Digest
    """Of the task that was measured."""
    question: _Digest | None = None
    """`Task.question` of what was measured: results of any other question are not scored by them. None in files from
    before it was noted."""
    relative: bool = False
    """Whether they are relative to the unedited file on the same data: losses as differences, perplexities as
    logarithms of ratios. They then hold for any data, once the unedited file is measured on it."""
    data: list[_Digest] = Field(default_factory=list, max_length=100)
    """The `data_key` of each data that was measured on. Anchors that are not relative hold for these only."""
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=1 << 63)]], Field(min_length=1, max_length=100)]
    provenance: ProvenanceTable
    metrics: Annotated[list[AnchorTable], Field(min_length=1, max_length=100)]
    """In the order of the leaderboard's columns."""

    @model_validator(mode="after")
    def _in_order(self) -> ScaleAnchors:
        for one in self.metrics:
            sign = 1 if one.better == "higher" else -1
            bound = sign * one.ref if self.relative else sign * one.bound
            if not sign * one.floor <= sign * one.ref <= bound:
                order = "floor <= ref <= bound" if sign > 0 else "floor >= ref >= bound"
                raise ValueError(f"{one.metric}: where {one.better} is better, {order} is required")
        return self


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
    text = "\n".join(
        [
            "# Written by `ringfence baseline run --write-anchors`, or `ringfence baseline freeze`.",
            *map(_text, known, known.values()),
        ]
    )
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
        *([] if anchors.question is None else [f'question = "{anchors.question}"']),
        f"relative = {str(anchors.relative).lower()}",
        f"data = {json.dumps(anchors.data)}",
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
        lines += [] if one.noise_df is None else [f"noise_df = {one.noise_df}"]
        lines += [f"\n[{at}.metrics.baselines]"] if one.baselines else []
        lines += [f'"{name}" = {[float(value) for value in values]}' for name, values in one.baselines.items()]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
