"""What is said after a test's result: where it stands, and what is left of a budget in GPU hours."""

from __future__ import annotations

from env.store.model import Status, Test
from leaderboard.comparison import headline
from leaderboard.model import RecordedResult


def standing(recorded: RecordedResult) -> str:
    """Where a result stands that succeeded: its score, and its difference to the best baseline; empty for any other."""
    if recorded.result.status != Status.SUCCEEDED.value:
        return ""
    score = "none: no anchors fit here" if recorded.score is None else f"{recorded.score:.4f}"
    compared = recorded.comparison
    told = "No baseline has a result here to compare it with." if compared is None else headline(compared)
    return f"[Score] {score}. {told}"


def gpu_hours(test: Test, used: float, budget: float) -> str:
    """What is left of a budget in GPU hours, of which `used` are used by this test and those before it."""
    cost, left = (test.gpu_s or 0.0) / 3600, max(0.0, budget - used)
    return f"[Budget] This test used {cost:.2f} GPU hours. {used:.2f} of {budget:g} are used, {left:.2f} are left."
