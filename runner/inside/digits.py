"""How many digits of a number are told. This module is for the judge and for whoever reads its reports."""

from __future__ import annotations

import math

METRIC_DIGITS = 6
"""Significant digits of a metric that are written, stored and told: more could spell what the model was asked."""


def rounded(value: float, digits: int = METRIC_DIGITS) -> float | None:
    """`value` to so many significant digits, an integer as an integer; None for what is not finite."""
    if not math.isfinite(value):
        return None
    return value if isinstance(value, int) else float(f"{value:.{digits}g}")
