"""What a result came to, in numbers: for rewards, and for the logs of evaluations."""

from __future__ import annotations

import math

from ringfence.api.results import ResultView

AGENTS_FAILURES = ("failed", "diverged", "rejected", "timed_out", "cancelled")
"""Statuses of results that are final and have no score, for reasons of their agents': worth 0."""


class UnscoredError(Exception):
    """A result that succeeded has no score, as nobody has measured the task's baselines at its scale."""


def reward(result: ResultView) -> float:
    """The score; 0 for a result that failed, for a reason of its agent's. Raises UnscoredError."""
    if result.status in AGENTS_FAILURES:
        return 0.0
    if result.score is None:
        raise UnscoredError(
            f"result {result.run_key} of {result.task_id} at scale {result.scale} is {result.status} and has no score: "
            "the task's baselines have not been measured there"
        )
    return result.score


def differences(result: ResultView) -> dict[str, float]:
    """How it compares with the best baseline, as far as the service tells: finite numbers only.

    `delta`: the mean of its code's seeds less the baseline's in the metric that ranks, negative where it is better;
    `delta_error` its standard error, `delta_p` its two-sided p. `delta_noise`: see the leaderboard's column.
    """
    told = {"delta_noise": result.delta_noise}
    if result.comparison is not None:
        compared = result.comparison
        told |= {"delta": compared.delta, "delta_error": compared.error, "delta_p": compared.p}
    return _finite(told)


def figures(result: ResultView) -> dict[str, float]:
    """Metrics, how it compares with the best baseline, compute and parameters: finite numbers only."""
    about = {"compute": result.compute, "parameters": result.parameters, "certified": result.certified}
    return _finite(result.metrics | about) | differences(result)


def _finite(values: dict[str, float | None]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}
