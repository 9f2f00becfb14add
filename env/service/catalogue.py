"""The tasks there are, as everyone may read them: files, budgets, scales, and what scores are measured against."""

from __future__ import annotations

from collections.abc import Mapping

from env.service.refusals import unknown_task
from env.service.scoring import ScaleScoring, Scoring
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
    UneditedHere,
)
from tasks.model import Baseline, Scale, Task


class Catalogue:
    """Every task of the service with its anchors, by scale."""

    def __init__(self, tasks: Mapping[str, Task], scoring: Scoring) -> None:
        self._tasks = tasks
        self._scoring = scoring

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
        task = self.task(task_id)
        return TaskWhole(
            id=task.id,
            title=task.title,
            scales=tuple(task.scales),
            filename=task.filename,
            version=task.version,
            description=task.description,
            editable=task.editable,
            text=task.text,
            budget=_budget(task),
            override_keys=task.override_keys,
            scale_details={name: _scale_details(scale) for name, scale in task.scales.items()},
            anchors={
                scale: _anchors_view(self._scoring.scale(task_id, scale)) for scale in self._scoring.scales(task_id)
            },
            baselines=tuple(_baseline_details(baseline) for baseline in task.baselines),
        )

    def scoring_note(self, task_id: str, scale: str | None) -> str:
        """One paragraph for readers of a leaderboard: what its scores mean, or why there are none. Raises Refusal."""
        scoring = self._scoring.scale(self.task(task_id).id, scale or "")
        if scoring.anchors is None or scoring.reason is not None:
            return f"No scores: {scoring.reason}."
        seeds = ", ".join(map(str, scoring.anchors.seeds))
        note = (
            "Score: 0 is the worst baseline, 0.5 the best, 1 the bound that no method can pass; delta_noise is the "
            "lead over the best baseline's loss in standard deviations over seeds. Baselines were measured on "
            f"{scoring.anchors.provenance.date} with seed{'s' * (',' in seeds)} {seeds}."
        )
        if scoring.unedited is None:
            return note
        return (
            f"{note} What they reached is relative to the unedited file, which was measured on this installation's "
            f"data with seeds {', '.join(map(str, scoring.unedited.by_seed))}; results on other data have other scores."
        )


def task_brief(task: Task) -> TaskBrief:
    """A task as lists of tasks show it."""
    return TaskBrief(id=task.id, title=task.title, scales=tuple(task.scales), filename=task.filename)


def _budget(task: Task) -> TaskBudget:
    budget = task.budget
    proxied = any(scale.probe for scale in task.scales.values())
    return TaskBudget(
        tests=budget.tests,
        steps=budget.steps,
        checks=budget.checks,
        gpu_hours=budget.gpu_hours,
        **({"probes": budget.probes} if proxied else {}),
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
        **({} if scale.probe is None else {"probe": scale.probe}),
        summary=scale.summary,
        world_size=scale.world_size,
        settings=dict(scale.settings),
        stages=tuple(
            StageDetails(label=stage.label, script=stage.script, role=stage.role, timeout_s=stage.timeout_s)
            for stage in scale.stages
        ),
    )


def _anchors_view(scoring: ScaleScoring) -> Anchors:
    anchors = scoring.anchors
    if anchors is None:
        assert scoring.reason is not None
        return Anchors(scored=False, reason=scoring.reason)
    about, here = anchors.provenance, scoring.unedited
    return Anchors(
        scored=scoring.reason is None,
        reason=scoring.reason,
        task_version=anchors.task_version,
        seeds=tuple(anchors.seeds),
        provenance=Provenance(
            date=about.date.isoformat(),
            ringfence=about.ringfence,
            runner=about.runner,
            hardware=about.hardware,
            torch=about.torch,
        ),
        relative=anchors.relative,
        waits=scoring.waits,
        unedited=None
        if here is None
        else UneditedHere(data=here.data, seeds=tuple(here.by_seed), metrics=dict(here.metrics)),
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
            for one in scoring.metrics
        ),
    )
