"""The evaluator's one output file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.inside.faults import SetupFault


@dataclass(frozen=True)
class Report:
    """What an evaluation found."""

    metrics: Mapping[str, float]
    parameters: int
    """Numbers in the checkpoint, counted by the evaluator."""
    details: Mapping[str, float | int]
    """How much was scored, and how the spot checks came out."""


def write_report(report: Report, out_dir: Path) -> None:
    """`metrics.json`, complete or not at all; a non-finite value is null. Raises SetupFault."""
    content = {
        "metrics": {name: _strict(value) for name, value in report.metrics.items()},
        "parameters": report.parameters,
        "details": {name: _strict(value) for name, value in report.details.items()},
    }
    partial = out_dir / "metrics.json.partial"
    try:
        partial.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        partial.replace(out_dir / "metrics.json")
    except OSError as error:
        raise SetupFault("OUT_DIR", f"{out_dir} cannot be written: {error.strerror}") from None


def _strict(value: float) -> float | None:
    return value if math.isfinite(value) else None
