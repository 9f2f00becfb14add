"""From the outcomes of baselines to the anchors of a task at a scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import version

from env.operators.measure.play import BaselineOutcome
from tasks.anchoring import Measured, anchor
from tasks.anchors import Provenance, ScaleAnchors
from tasks.model import Task


class NotMeasured(Exception):
    """Says what is missing for anchors."""


def measured(outcomes: Sequence[BaselineOutcome]) -> list[Measured]:
    """By metric and stage, in the order they came in. Raises NotMeasured unless all succeeded and have all values."""
    for one in outcomes:
        if not one.succeeded:
            raise NotMeasured(f"{one.test.name} with seed {one.test.seed} ended as {one.status}")
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    for one in outcomes:
        for key, value in one.metrics.items():
            if value is None:
                raise NotMeasured(f"{one.test.name} with seed {one.test.seed} has no finite {key[0]} in {key[1]}")
            found.setdefault(key, {}).setdefault(one.test.name, []).append(value)
    for (metric, stage), values in found.items():
        if sum(map(len, values.values())) != len(outcomes):
            raise NotMeasured(f"not every test has a {metric} in {stage}")
    if not found:
        raise NotMeasured("no stage of this scale measures anything")
    return [
        Measured(metric, stage, {name: tuple(each) for name, each in values.items()})
        for (metric, stage), values in found.items()
    ]


def anchors(task: Task, outcomes: Sequence[BaselineOutcome], machine: Mapping[str, str], day: date) -> ScaleAnchors:
    """`machine` is what the runner says of its host. Raises NotMeasured."""
    gpus = machine.get("gpus", "none")
    return ScaleAnchors(
        task_version=task.version,
        seeds=list(dict.fromkeys(one.test.seed for one in outcomes)),
        provenance=Provenance(
            date=day,
            ringfence=version("ringfence"),
            runner=machine.get("runner", "unknown"),
            hardware=(machine.get("cpu", "unknown") if gpus == "none" else gpus)[:200],
            torch=machine.get("torch", "none"),
        ),
        metrics=[anchor(one) for one in measured(outcomes)],
    )
