"""Tasks' anchors on their way to the leaderboard, and to those who read a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from leaderboard.anchors import Anchor, Anchors
from tasks.anchors import ScaleAnchors
from tasks.model import Task

NO_ANCHORS: Mapping[str, ScaleAnchors] = {}


def for_scores(scale: str, anchors: ScaleAnchors) -> Anchors:
    """As the leaderboard takes them."""
    return Anchors(
        anchors.task_version,
        scale,
        tuple(
            Anchor(f"{one.metric}_{one.stage}", one.stage, one.floor, one.ref, one.bound, one.weight, one.noise)
            for one in anchors.metrics
        ),
    )


def anchors_view(task: Task, anchors: Mapping[str, ScaleAnchors]) -> dict[str, Any]:
    """By scale of the task, as JSON values: what scores are measured against, or why there are none."""
    return {scale: _view(task, anchors.get(scale)) for scale in dict.fromkeys((*task.scales, *anchors))}


def scoring_note(task: Task, scale: str | None, anchors: Mapping[str, ScaleAnchors]) -> str:
    """For readers of a leaderboard: what its scores mean, or why there are none."""
    about = _view(task, anchors.get(scale or ""))
    if not about["scored"]:
        return f"No scores: {about['reason']}."
    seeds = ", ".join(map(str, about["seeds"]))
    return (
        "Score: 0 is the worst baseline, 0.5 the best, 1 the bound that no method can pass; delta_noise is the lead "
        "over the best baseline's loss in standard deviations over seeds. Baselines were measured on "
        f"{about['provenance']['date']} with seed{'s' * (',' in seeds)} {seeds}."
    )


def _view(task: Task, anchors: ScaleAnchors | None) -> dict[str, Any]:
    if anchors is None:
        return {"scored": False, "reason": "nobody has measured the baselines at this scale"}
    reason = None
    if anchors.task_version != task.version:
        reason = f"measured for version {anchors.task_version[:12]} of the task, which is {task.version[:12]} now"
    elif not any(one.weight for one in anchors.metrics):
        reason = "no metric tells the baselines apart"
    elif for_scores("", anchors).score({f"{one.metric}_{one.stage}": one.ref for one in anchors.metrics}) is None:
        reason = "the baselines do not differ, or reach the bound, in a metric that weighs"
    return {"scored": reason is None, "reason": reason, **anchors.model_dump(mode="json")}
