"""From what baselines reached to the anchors they make, and to the file that holds them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Literal

from tasks.anchors import FILE, MetricAnchor, ScaleAnchors, load_anchors
from tasks.errors import TaskError

TEMPLATE = "template"
"""The unedited file, among the baselines."""

APART = 3.0
"""Standard errors that best and worst baseline have to be apart for a metric to count."""


@dataclass(frozen=True)
class Measured:
    """Of one metric: what each baseline reached, a value per seed."""

    metric: str
    stage: str
    baselines: Mapping[str, tuple[float, ...]]


def anchor(measured: Measured) -> MetricAnchor:
    """The anchor that these measurements make.

    A metric that does not tell the best baseline from the worst weighs nothing: its scores would be those of luck.
    """
    better = _better(measured.metric)
    noise = _noise(list(measured.baselines.values()))
    seeds = min(map(len, measured.baselines.values()))
    means = [fmean(values) for values in measured.baselines.values()]
    worst, best = (max(means), min(means)) if better == "lower" else (min(means), max(means))
    return MetricAnchor(
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


def _better(metric: str) -> Literal["lower", "higher"]:
    return "lower" if metric.endswith(("loss", "ppl")) else "higher"


def _bound(metric: str, best: float) -> float:
    """What a model reaches that is never surprised and never wrong: 0 nats, a perplexity of 1, 100 per cent.

    The entropy of text would be a nearer bound for a loss, but nobody knows it. The exponent makes up for the distance:
    0.5 is the best baseline wherever the bound is.
    """
    if metric.endswith("loss"):
        return min(0.0, best)
    if metric.endswith("ppl"):
        return min(1.0, best)
    return max(100.0, best)


def _noise(baselines: list[tuple[float, ...]]) -> float | None:
    """Pooled over the baselines, which differ in their means but hardly in this; None where no seeds repeat."""
    repeated = [values for values in baselines if len(values) > 1]
    if not repeated:
        return None
    return math.sqrt(
        sum((len(values) - 1) * stdev(values) ** 2 for values in repeated) / sum(len(values) - 1 for values in repeated)
    )


def _error(noise: float | None, seeds: int) -> float:
    """Standard error of the difference of two baselines' means."""
    return 0.0 if noise is None else noise * math.sqrt(2 / seeds)


def write_anchors(folder: Path, scale: str, anchors: ScaleAnchors) -> Path:
    """Write one scale's anchors; those of other scales stay as they are. Raises TaskError."""
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
