"""What everyone may read of the leaderboard: tables, the tasks at a glance, a task's page, loss curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from env.service.catalogue import Catalogue, score_formula
from env.service.refusals import unknown_result, unknown_task
from env.store.snapshots import Snapshots
from env.store.store import Store
from leaderboard import overview, reading, stored_scores
from leaderboard.curve import Curve
from leaderboard.export import to_csv
from leaderboard.table import Overview, QueryError, Standing, Table, TableQuery, iso
from ringfence.api import catalogue as answers
from ringfence.api.refusal import Kind, Refusal
from ringfence.api.results import CURVE_SOURCE, CurveView
from tasks.anchors import ScaleAnchors
from tasks.model import Task


@dataclass(frozen=True, kw_only=True)
class TaskBoard:
    """A task's leaderboard at one scale, with all that its page shows around it."""

    scales: Sequence[str]
    """Those to choose from: the task's own, then those that only have results left."""
    scale: str | None
    """The one shown; None if there is none at all."""
    table: Table
    baselines: Sequence[Standing]
    """Each baseline's best result at this scale, best first."""
    curves: Mapping[str, Curve]
    """Loss curves by run key."""
    scoring: str
    """What scores mean at this scale, or why there are none."""


class LeaderboardReader:
    """Reads the leaderboard; every method takes a snapshot of its own, and may be called from any thread."""

    def __init__(self, store: Store, tasks: Mapping[str, Task], catalogue: Catalogue, snapshots: Snapshots) -> None:
        self._store = store
        self._snapshots = snapshots
        self._tasks = tasks
        self._catalogue = catalogue

    def boards(self) -> answers.Boards:
        """Every task that has results, by id."""
        with self._snapshots.open() as conn:
            found = reading.boards(conn)
        return answers.Boards(
            leaderboards=tuple(
                answers.Board(
                    task_id=one.task_id,
                    rows=one.rows,
                    sessions=one.sessions,
                    submissions=one.submissions,
                    last=iso(one.last),
                )
                for one in found
            )
        )

    def table(self, task_id: str, query: TableQuery) -> Table:
        """A task's results. Raises Refusal for a query that has no answer, and for a task that nobody knows."""
        with self._snapshots.open() as conn:
            try:
                table = reading.rows(conn, task_id, query)
            except QueryError as error:
                raise Refusal(Kind.INVALID, "bad_query", f"{error}.") from error
        if not table.columns or (not table.total and task_id not in self._tasks):
            raise unknown_task(task_id, self._tasks)
        return table

    def csv(self, task_id: str, query: TableQuery) -> Iterator[str]:
        """The same as CSV text, piece by piece: whole where the query sets no limit. To be read by a thread of its own,
        which keeps nobody waiting. Raises Refusal.
        """
        if query.limit is not None or query.offset or not self._snapshots.apart:
            table = self.table(task_id, query)
            return to_csv(table.columns, table.rows)
        columns = self.table(task_id, replace(query, limit=1)).columns
        return self._streamed(columns, task_id, query)

    def _streamed(self, columns: Sequence[str], task_id: str, query: TableQuery) -> Iterator[str]:
        with self._snapshots.open() as conn:
            yield from to_csv(columns, reading.every_row(conn, task_id, query))

    def leaderboard(self, task_id: str, query: TableQuery) -> answers.Leaderboard:
        """The same as an answer of the API. Raises Refusal."""
        table = self.table(task_id, query)
        # Rows stay the mappings that were read: to make models of ten thousand would slow the answer down.
        return answers.Leaderboard.model_construct(
            task_id=table.task_id,
            columns=table.columns,
            metric_columns=table.metric_columns,
            rows=cast(tuple[answers.Row, ...], table.rows),
            total=table.total,
            limit=table.limit,
            offset=table.offset,
        )

    def overview(self) -> list[Overview]:
        """How far every task got, at every scale that has results."""
        with self._snapshots.open() as conn:
            return overview.overviews(conn)

    def task_board(self, task_id: str, query: TableQuery, runs: Sequence[str]) -> TaskBoard:
        """What a task's page shows; a query that names no scale gets the largest there are results of.

        `runs` are the keys of the results whose curves are shown. Raises QueryError, Refusal.
        """
        task = self._catalogue.task(task_id)
        with self._snapshots.open() as conn:
            ranked = overview.primary_metrics(conn)
            measured = [scale for of_task, scale in ranked if of_task == task_id]
            scales = list(dict.fromkeys((*task.scales, *measured)))
            scale = query.scale or _largest_measured(scales, measured)
            table = reading.rows(conn, task_id, replace(query, scale=scale))
            metric = ranked.get((task_id, scale or ""))
            baselines = [] if scale is None or metric is None else overview.baselines(conn, task_id, scale, metric)
        return TaskBoard(
            scales=scales,
            scale=scale,
            table=table,
            baselines=baselines,
            curves={run_key: self._losses(run_key)[1] for run_key in runs},
            scoring=self._catalogue.scoring_note(task_id, scale),
        )

    def curve(self, run_key: str, points: int) -> CurveView:
        """A result's loss curve with about so many of its points, its extremes among them. Raises Refusal."""
        stage, curve = self._losses(run_key)
        thin = curve.thinned(points)
        return CurveView(
            run_key=run_key,
            source=CURVE_SOURCE,
            stage=stage,
            points=len(curve.step),
            step=thin.step,
            train_loss=thin.train_loss,
            val_loss=thin.val_loss,
        )

    def adopt(self, scale: str, anchors: ScaleAnchors) -> None:
        """Score the results of the anchors' task version at this scale by them, now and from now on."""
        with self._store.begin() as conn:
            stored_scores.adopt(conn, score_formula(scale, anchors))

    def _losses(self, run_key: str) -> tuple[str, Curve]:
        """A result's losses and the label of the stage they are from: of its last attempt, where there were several."""
        with self._snapshots.open() as conn:
            entry = reading.entry(conn, run_key)
            if entry is None:
                raise unknown_result(run_key)
            found = self._store.series(conn, entry.result.session_id, entry.result.test)
        label, points = next(((label, series) for label, series in reversed(found) if series), ("", []))
        step, train, val = zip(*points, strict=True) if points else ((), (), ())
        return label, Curve(step, train, val)


def _largest_measured(scales: Sequence[str], measured: Sequence[str]) -> str | None:
    """The largest scale there are results of, else the first: a task names its scales from small to large."""
    found = [scale for scale in scales if scale in measured]
    return found[-1] if found else next(iter(scales), None)
