"""The tasks there are, as everyone may read them: files, budgets, scales, and what scores are measured against."""

from __future__ import annotations

from collections.abc import Mapping

from env.service.refusals import unknown_task
from leaderboard.naming import metric_column
from leaderboard.score_formula import Anchor, ScoreFormula
from ringfence.api.catalogue import (
    Anchors,
    BaselineDetails,
    MetricAnchor,
    Provenance,
    ScaleDetails,
    StageDetails,
    TaskBrief,
    TaskBudget,
    Tasks,
    TaskWhole,
)
from tasks.anchors import ScaleAnchors
from tasks.model import Baseline, Scale, Task


class Catalogue:
    """Every task of the service with its anchors, by scale."""

    def __init__(self, tasks: Mapping[str, Task], anchors: Mapping[str, Mapping[str, ScaleAnchors]]) -> None:
        self._tasks = tasks
        self._anchors = anchors

    def brief(self) -> Tasks:
        """All tasks, in the order in which they were loaded."""
        return Tasks(tasks=tuple(task_brief(task) for task in self._tasks.values()))

    def task(self, task_id: str) -> Task:
        """The task of that id. Raises Refusal."""
        task = self._tasks.get(task_id)
        if task is None:
            raise unknown_task(task_id, self._tasks)
        return task

    def whole(self, task_id: str) -> TaskWhole:
        """A task with everything that an agent and a researcher may know of it. Raises Refusal."""
        task, anchors = self.task(task_id), self._anchors.get(task_id, {})
        return TaskWhole(
            id=task.id,
            title=task.title,
            scales=tuple(task.scales),
            filename=task.filename,
            version=task.version,
            description=task.description,
            editable=task.editable,
            text=task.text,
            budget=TaskBudget(tests=task.budget.tests, steps=task.budget.steps, checks=task.budget.checks),
            override_keys=task.override_keys,
            scale_details={name: _scale_details(scale) for name, scale in task.scales.items()},
            anchors={
                scale: _anchors_view(task, anchors.get(scale)) for scale in dict.fromkeys((*task.scales, *anchors))
            },
            baselines=tuple(_baseline_details(baseline) for baseline in task.baselines),
        )

    def scoring_note(self, task_id: str, scale: str | None) -> str:
        """One paragraph for readers of a leaderboard: what its scores mean, or why there are none. Raises Refusal."""
        view = _anchors_view(self.task(task_id), self._anchors.get(task_id, {}).get(scale or ""))
        if not view.scored:
            return f"No scores: {view.reason}."
        assert view.provenance is not None
        seeds = ", ".join(map(str, view.seeds))
        return (
            "Score: 0 is the worst baseline, 0.5 the best, 1 the bound that no method can pass; delta_noise is the "
            "lead over the best baseline's loss in standard deviations over seeds. Baselines were measured on "
            f"{view.provenance.date} with seed{'s' * (',' in seeds)} {seeds}."
        )


def task_brief(task: Task) -> TaskBrief:
    """A task as lists of tasks show it."""
    return TaskBrief(id=task.id, title=task.title, scales=tuple(task.scales), filename=task.filename)


def score_formula(scale: str, anchors: ScaleAnchors) -> ScoreFormula:
    """The anchors of a task's scale as the leaderboard scores by them."""
    return ScoreFormula(
        anchors.task_version,
        scale,
        tuple(
            Anchor(
                metric=metric_column(one.metric, one.stage),
                stage=one.stage,
                floor=one.floor,
                ref=one.ref,
                bound=one.bound,
                weight=one.weight,
                noise=one.noise,
            )
            for one in anchors.metrics
        ),
    )


def _baseline_details(baseline: Baseline) -> BaselineDetails:
    return BaselineDetails(
        name=baseline.name,
        title=baseline.title,
        source=baseline.source,
        edits=tuple(dict(edit) for edit in baseline.edits),
    )


def _scale_details(scale: Scale) -> ScaleDetails:
    return ScaleDetails(
        summary=scale.summary,
        world_size=scale.world_size,
        settings=dict(scale.settings),
        stages=tuple(
            StageDetails(label=stage.label, script=stage.script, role=stage.role, timeout_s=stage.timeout_s)
            for stage in scale.stages
        ),
    )


def _anchors_view(task: Task, anchors: ScaleAnchors | None) -> Anchors:
    if anchors is None:
        return Anchors(scored=False, reason="nobody has measured the baselines at this scale")
    reason = _unscored(task, anchors)
    about = anchors.provenance
    return Anchors(
        scored=reason is None,
        reason=reason,
        task_version=anchors.task_version,
        seeds=tuple(anchors.seeds),
        provenance=Provenance(
            date=about.date.isoformat(),
            ringfence=about.ringfence,
            runner=about.runner,
            hardware=about.hardware,
            torch=about.torch,
        ),
        metrics=tuple(
            MetricAnchor(
                metric=one.metric,
                stage=one.stage,
                better=one.better,
                floor=one.floor,
                ref=one.ref,
                bound=one.bound,
                weight=one.weight,
                noise=one.noise,
                baselines={name: tuple(values) for name, values in one.baselines.items()},
            )
            for one in anchors.metrics
        ),
    )


def _unscored(task: Task, anchors: ScaleAnchors) -> str | None:
    """Why results of the task's present version get no score by these anchors; None if they do."""
    if anchors.task_version != task.version:
        return f"measured for version {anchors.task_version[:12]} of the task, which is {task.version[:12]} now"
    if not any(one.weight for one in anchors.metrics):
        return "no metric tells the baselines apart"
    best = {metric_column(one.metric, one.stage): one.ref for one in anchors.metrics}
    if score_formula("", anchors).score(best) is None:
        return "the baselines do not differ, or reach the bound, in a metric that weighs"
    return None
