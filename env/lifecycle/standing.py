"""What is said after a test's result: where it stands, and what is left of a budget in GPU hours."""

from __future__ import annotations

from env.lifecycle.feedback import flat_metrics
from env.store.model import Status, Test
from leaderboard.beating import ToBeat


def standing(test: Test, known: ToBeat | None) -> str:
    """Where a test that succeeded stands: its score, and how far it is from the best baseline; empty for any other."""
    if test.status is not Status.SUCCEEDED or known is None:
        return ""
    metrics, _ = flat_metrics(test)
    score = None if known.formula is None else known.formula.score(metrics)
    parts = [f"[Score] {'none: this scale has no anchors that fit' if score is None else f'{score:.4f}'}."]
    gap = known.gap(metrics)
    if gap is None:
        parts.append("No baseline has a result here to compare it with.")
    else:
        best = known.baselines[0]
        size = f"{abs(gap):.4f}"
        if known.noise:
            size += f" ({abs(gap) / known.noise:.1f} σ; σ = {known.noise:.4f} between seeds)"
        way = "better" if gap > 0 else "worse"
        parts.append(f"{known.metric} is {size} {way} than the best baseline's, {best.name}: {best.mean:.4f}.")
    return " ".join(parts)


def gpu_hours(test: Test, used: float, budget: float) -> str:
    """What is left of a budget in GPU hours, of which `used` are used by this test and those before it."""
    cost, left = (test.gpu_s or 0.0) / 3600, max(0.0, budget - used)
    return f"[Budget] This test used {cost:.2f} GPU hours. {used:.2f} of {budget:g} are used, {left:.2f} are left."
