"""Which formula scores a task's results here: from the anchors beside the task and the data of this installation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from env.lifecycle.unedited import SEEDS, Unedited, absolute, data_here, measured_seeds, unedited
from env.store.store import Store
from leaderboard import stored_scores
from leaderboard.naming import metric_column
from leaderboard.score_formula import Anchor, ScoreFormula
from tasks.anchors import AnchorTable, ScaleAnchors
from tasks.model import Task


@dataclass(frozen=True, kw_only=True)
class ScaleScoring:
    """How results of a task at one of its scales are scored on the data of this installation."""

    anchors: ScaleAnchors | None
    """As they lie beside the task."""
    metrics: tuple[AnchorTable, ...] = ()
    """The same in the metrics' own units on this data: nothing in them is relative. Empty while that is not known."""
    formula: ScoreFormula | None = None
    """None where nothing can be said of results; where its metrics are of no use, it still has their noise."""
    reason: str | None = None
    """Why there are none; None where there are."""
    unedited: Unedited | None = None
    """What relative anchors are relative to; None for others, and until it is measured."""
    waits: bool = False
    """Whether all that is missing is the unedited file, measured on this data."""


class Scoring:
    """The formulas of all tasks and scales, as the data folder has it; `refresh` looks again."""

    def __init__(
        self,
        store: Store,
        tasks: Mapping[str, Task],
        anchors: Mapping[str, Mapping[str, ScaleAnchors]],
        data_dir: Path | None,
    ) -> None:
        """`data_dir` is None where nothing is really trained: invented results are scored by nothing."""
        self._store = store
        self._tasks = tasks
        self._anchors = {task_id: dict(each) for task_id, each in anchors.items()}
        self._data_dir = data_dir
        self._scales: dict[tuple[str, str], ScaleScoring] = {}

    def scale(self, task_id: str, scale: str) -> ScaleScoring:
        """As of the last refresh; before the first one, as of now."""
        return self._scales.get((task_id, scale)) or self._look(self._tasks[task_id], scale)

    def scales(self, task_id: str) -> list[str]:
        """The scales of a task that it has, or has anchors for."""
        return list(dict.fromkeys((*self._tasks[task_id].scales, *self._anchors.get(task_id, {}))))

    def put(self, task_id: str, scale: str, anchors: ScaleAnchors) -> None:
        """Score the task's results at this scale by other anchors, now and from now on."""
        self._anchors.setdefault(task_id, {})[scale] = anchors
        self.refresh()

    def refresh(self) -> None:
        """Works out every formula, and scores what is on the leaderboard by it. Raises what the database raises."""
        self._scales = {
            (task.id, scale): self._look(task, scale) for task in self._tasks.values() for scale in self.scales(task.id)
        }
        with self._store.begin() as conn:
            for one in self._scales.values():
                if one.formula is not None:
                    stored_scores.adopt(conn, one.formula)

    def unmeasured(self) -> list[tuple[Task, str, int]]:
        """Seeds of the unedited file that scores here wait for, at scales that have sessions: a task that has it, the
        scale, and the seed. What somebody else has measured meanwhile is taken up. Raises what the database raises.
        """
        waiting = [(self._tasks[task_id], scale) for (task_id, scale), one in self._scales.items() if one.waits]
        if not waiting:
            return []
        with self._store.begin() as conn:
            used = self._store.scales_in_use(conn, [task.version for task, _ in waiting])
        left: list[tuple[Task, str, int]] = []
        complete = False
        for task, scale in waiting:
            known = measured_seeds(task, task.scales[scale], self._data_dir) if scale in used else None
            if known is not None:
                left += [(task, scale, seed) for seed in SEEDS if seed not in known]
                complete |= len(known) == len(SEEDS)
                looked = self._look(task, scale)
                if looked.waits:
                    self._scales[task.id, scale] = looked  # its reason says how far it is
        if complete:
            self.refresh()
        return left

    def _look(self, task: Task, scale: str) -> ScaleScoring:
        return scoring_of(task, scale, self._anchors.get(task.id, {}).get(scale), self._data_dir)


_NOBODY = "nobody has measured the baselines at this scale"


def scoring_of(task: Task, scale: str, anchors: ScaleAnchors | None, data_dir: Path | None) -> ScaleScoring:
    """How results of a task at a scale are scored by these anchors on the data of this folder."""
    if anchors is None:
        return ScaleScoring(anchors=None, reason=_NOBODY)

    def unscored(reason: str) -> ScaleScoring:
        return ScaleScoring(anchors=anchors, reason=reason)

    if scale not in task.scales:
        return unscored("the task has no such scale any more")
    size = task.scales[scale]
    if anchors.question is None:
        return unscored("measured before anchors named their data: measure the baselines again")
    if anchors.question != task.question(scale):
        version = anchors.task_version[:12]
        return unscored(f"measured for version {version} of the task, which asks something else at this scale now")
    data = data_here(size, data_dir)
    if data is None:
        return unscored("these results are of no data that anybody knows")
    here: Unedited | None = None
    metrics = tuple(anchors.metrics)
    if anchors.relative:
        here = unedited(task, size, data_dir)
        if here is None:
            known = measured_seeds(task, size, data_dir)
            if known is None:
                return unscored("relative anchors are of another kind of script or data")
            told = (
                f"the unedited file has to be measured on this data first, with {len(SEEDS)} seeds; {len(known)} are "
                "done, the others follow while no test runs"
            )
            return ScaleScoring(anchors=anchors, reason=told, waits=True)
        metrics = tuple(_absolute(one, here.metrics[one.metric]) for one in metrics if one.metric in here.metrics)
    elif data not in anchors.data:
        return unscored("the baselines were measured on other data")
    formula = score_formula(task.version, scale, data, metrics)
    reason = _useless(formula, metrics)
    return ScaleScoring(anchors=anchors, metrics=metrics, formula=formula, reason=reason, unedited=here)


def score_formula(task_version: str, scale: str, data: str, metrics: tuple[AnchorTable, ...]) -> ScoreFormula:
    """Anchors that are not relative as the leaderboard scores by them."""
    anchors = (
        Anchor(
            metric=metric_column(one.metric, one.stage),
            stage=one.stage,
            floor=one.floor,
            ref=one.ref,
            bound=one.bound,
            weight=one.weight,
            noise=one.noise,
            noise_df=one.noise_df,
        )
        for one in metrics
    )
    return ScoreFormula(task_version, scale, tuple(anchors), data)


def _useless(formula: ScoreFormula, metrics: tuple[AnchorTable, ...]) -> str | None:
    if not any(one.weight for one in metrics):
        return "no metric tells the baselines apart"
    if formula.score({anchor.metric: anchor.ref for anchor in formula.anchors}) is None:
        return "the baselines do not differ, or reach the bound, in a metric that weighs"
    return None


def _absolute(one: AnchorTable, unedited: float) -> AnchorTable:
    """On data where the unedited file reaches `unedited`."""

    def here(value: float) -> float:
        return absolute(one.metric, value, unedited)

    noise = one.noise
    if noise is not None:
        noise = abs(absolute(one.metric, one.ref + noise, unedited) - here(one.ref))
    baselines = {name: [here(value) for value in values] for name, values in one.baselines.items()}
    fields = {"floor": here(one.floor), "ref": here(one.ref), "noise": noise, "baselines": baselines}
    return one.model_copy(update=fields)
