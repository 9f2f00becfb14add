"""Whether a result answers the question that its task asks, where a task asks for more than a low loss."""

from __future__ import annotations

from env.store.evaluation import StoredCostGrowth
from env.store.model import Status, Test
from leaderboard.naming import COST_NOT_MEASURED, NOT_SUBQUADRATIC
from tasks.model import Task


def cost_growth_of(test: Test) -> StoredCostGrowth | None:
    """What the evaluations of a test found of its cost's growth; None if none of them measured it."""
    found = (run.evaluation.cost_growth for run in test.runs if run.evaluation is not None)
    return next((growth for growth in found if growth is not None), None)


def unmet(task: Task, test: Test) -> str | None:
    """What the task asks for and a test that succeeded does not show, as its label; None where nothing is missing."""
    if task.cost_growth is None or test.status is not Status.SUCCEEDED:
        return None
    growth = cost_growth_of(test)
    if growth is None or growth.subquadratic is None:
        return COST_NOT_MEASURED
    return None if growth.subquadratic else NOT_SUBQUADRATIC


def cost_growth_note(growth: StoredCostGrowth | None) -> str:
    """What an agent is told of its cost's growth; empty where it is as the task asks, and where it was not measured."""
    if growth is None or growth.subquadratic:
        return ""
    apart = (
        "Such results are no answer to the task: they are labelled `{label}`, get no score, and are ranked after all "
        "others."
    )
    if growth.subquadratic is None:
        return (
            f"How the model's cost grows with the length of its input could not be measured: {growth.why_not}. "
            + apart.format(label=COST_NOT_MEASURED)
        )
    rise = 0.0 if growth.beside_softmax is None else growth.beside_softmax
    return (
        f"The model's cost is not sub-quadratic: from {growth.lengths[0]} to {growth.lengths[-1]} tokens its "
        f"operations per token rise {rise:.2f} times as fast as those of softmax attention in every layer. "
        + apart.format(label=NOT_SUBQUADRATIC)
    )
