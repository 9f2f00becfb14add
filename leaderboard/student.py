"""The tail of Student's t distribution, for p-values without a library of statistics."""

from __future__ import annotations

import math

_TERMS = 10_000
_SMALL = 1e-300
_EXACT = 1e-14


def two_sided_p(t: float, df: float) -> float:
    """How likely a value of Student's t with `df` > 0 degrees of freedom is at least as far from 0 as `t`, 0 to 1."""
    assert df > 0
    return _incomplete_beta(df / (df + t * t), df / 2, 0.5)


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), 0 <= x <= 1."""
    if x in (0.0, 1.0):
        return x
    if x > (a + 1) / (a + b + 2):  # where the fraction converges slowly, its mirror image does not
        return 1 - _incomplete_beta(1 - x, b, a)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return min(1.0, math.exp(log_front) / (a * _fraction(x, a, b)))


def _fraction(x: float, a: float, b: float) -> float:
    """The continued fraction of the incomplete beta function (Abramowitz and Stegun 26.5.8), by Lentz's method."""
    value, c, d = 1.0, 1.0, 0.0
    for term in range(1, _TERMS):
        half, odd = divmod(term, 2)
        if odd:
            step = -(a + half) * (a + b + half) * x / ((a + 2 * half) * (a + 2 * half + 1))
        else:
            step = half * (b - half) * x / ((a + 2 * half - 1) * (a + 2 * half))
        d = 1 / (1 + step * d or _SMALL)
        c = 1 + step / c or _SMALL
        value *= c * d
        if abs(c * d - 1) < _EXACT:
            break
    return value
