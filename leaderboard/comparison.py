"""How an entry compares with the best baseline: said once here, and the same on every page and in every answer.

The difference of the means on the column that ranks has Student's t distribution in units of its standard error, if the
two are the same. Where both have several seeds the error is Welch's (Biometrika 34, 1947); where one has a single seed,
it is that of the board's noise. Two choices by luck are made up for:

- The best baseline is the one with the lowest mean, so it was probably lucky. That makes it harder to be better, which
  needs no correction, and easier to be worse: there p is multiplied by the number of baselines (Bonferroni).
- A value that a session chose among its tests was probably lucky as well: p is multiplied by their number, unless the
  entry has values that nobody chose (see `entries`).

A code that fixes a seed of its own comes to one value at every seed. Values that lie closer together than seeds do,
which for an honest code happens once in a hundred times, count as one, and as chosen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from leaderboard.entries import Entry, Noise
from leaderboard.student import two_sided_p

ALPHA = 0.05
"""Differences with a smaller two-sided p are told apart."""
Verdict = Literal["better", "worse", "not told apart"]
NOT_TOLD_APART: Verdict = "not told apart"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """An entry beside the best baseline of its board. Differences are in the unit of `metric`; lower is better."""

    metric: str
    """The column that ranks."""
    entry: Entry
    baseline: Entry
    baselines: int
    """How many baselines the best was chosen from."""
    delta: float
    """The entry's mean less the baseline's: negative where the entry is better."""
    error: float | None
    """The standard error of `delta`; None where no noise is known."""
    df: float | None
    """Its degrees of freedom."""
    p: float | None
    """Two-sided, with the corrections for what was chosen by luck; None where no noise is known."""
    verdict: Verdict
    steady: bool = False
    """Whether the entry's values lie so close together that they count as one."""

    @property
    def itself(self) -> bool:
        """Whether the entry is the best baseline."""
        return self.entry.code_sha256 == self.baseline.code_sha256


def compare(entry: Entry, baselines: Sequence[Entry], noise: Noise | None, metric: str) -> Comparison | None:
    """The entry beside the best baseline of its board, the first of `baselines`; None where there is none.

    `noise` is the board's.
    """
    if not baselines:
        return None
    baseline = baselines[0]
    delta = entry.mean - baseline.mean
    itself = entry.code_sha256 == baseline.code_sha256
    steady = not entry.baseline and noise is not None and _too_steady(entry, noise)
    error, df = (None, None) if itself else _error(entry, baseline, noise, steady=steady)
    p = None
    if error and df:
        chosen_from = entry.chosen_before if steady else entry.chosen_from
        chances = chosen_from * (len(baselines) if delta > 0 else 1)
        p = min(1.0, two_sided_p(delta / error, df) * chances)
    return Comparison(
        metric=metric,
        entry=entry,
        baseline=baseline,
        baselines=len(baselines),
        delta=delta,
        error=error,
        df=df,
        p=p,
        verdict=_verdict(delta, p, entry.failed),
        steady=steady,
    )


def headline(found: Comparison) -> str:
    """The one sentence about a comparison."""
    entry, baseline = found.entry, found.baseline
    if found.itself:
        return f"The best baseline itself ({baseline.name}): {mean_text(baseline.mean, baseline.sd, baseline.n)}."
    error = "" if found.error is None else f" ± {_figure(found.error)}"
    no_p = "the noise is not known" if found.error is None else "no noise was seen"
    p = no_p if found.p is None else f"p {_p(found.p)}"
    said = f"Δ {difference_text(found.delta)}{error} to the best baseline ({baseline.name}): {found.verdict}"
    parts = [f"{said} ({p}, n {entry.n} and {baseline.n})."]
    if entry.chosen_from > 1:
        parts.append(f"Its value is the one chosen from {entry.chosen_from} tests, which p makes up for.")
    if found.steady:
        parts.append("Its values lie closer together than seeds do, and count as one.")
    if entry.failed:
        parts.append(f"It came to no value at {entry.failed} further seed{'' if entry.failed == 1 else 's'}.")
    return " ".join(parts)


def mean_text(mean: float, sd: float | None, n: int) -> str:
    """Mean and scatter of values in a few characters: `2.0123 ± 0.0045, n 5`."""
    spread = "" if sd is None else f" ± {_figure(sd)}"
    return f"{mean:.4f}{spread}, n {n}"


def difference_text(delta: float) -> str:
    """A difference with its sign: `−0.0123`."""
    return f"{'−' if delta < 0 else '+'}{abs(delta):.4f}"


def _error(entry: Entry, baseline: Entry, noise: Noise | None, *, steady: bool) -> tuple[float | None, float | None]:
    """The standard error of the difference of two means, with its degrees of freedom; None where nobody knows it."""
    if not steady and entry.sd is not None and baseline.sd is not None and entry.sd + baseline.sd > 0:
        a, b = entry.sd**2 / entry.n, baseline.sd**2 / baseline.n
        df = (a + b) ** 2 / (a**2 / (entry.n - 1) + b**2 / (baseline.n - 1))
        return math.sqrt(a + b), df
    if noise is None:
        return None, None
    return noise.sd * math.sqrt(1 / (1 if steady else entry.n) + 1 / baseline.n), float(noise.df)


def _too_steady(entry: Entry, noise: Noise) -> bool:
    """Whether less than one in a hundred codes with this noise would scatter so little."""
    if entry.sd is None or noise.sd == 0:
        return False
    return (entry.n - 1) * (entry.sd / noise.sd) ** 2 < _least_squares(entry.n - 1)


def _least_squares(df: int) -> float:
    """Of chi-squared with `df` degrees of freedom, what one in a hundred values is below: beyond 2 by the approximation
    of Wilson and Hilferty (PNAS 17, 1931).
    """
    exact = {1: 0.000157, 2: 0.0201}
    return exact.get(df) or df * max(0.0, 1 - 2 / (9 * df) - 2.3263 * math.sqrt(2 / (9 * df))) ** 3


def _verdict(delta: float, p: float | None, failed: int) -> Verdict:
    """A code that does not succeed at every seed is never called better."""
    if p is None or p >= ALPHA or (delta < 0 and failed):
        return NOT_TOLD_APART
    return "better" if delta < 0 else "worse"


def _figure(value: float) -> str:
    return f"{value:.4f}" if value >= 5e-5 or value == 0 else f"{value:.1e}"


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
