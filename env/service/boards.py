"""What everyone may read of the leaderboard: tables, the tasks at a glance, a task's page, loss curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import cast

from env.service.board_views import board_facts, counted_boards, published_row
from env.service.catalogue import Catalogue
from env.service.comparisons import comparison_view, noise_view
from env.service.here import Here
from env.service.refusals import unknown_result, unknown_task
from env.store.predictions import predictions
from env.store.snapshots import Snapshots
from env.store.store import Store
from leaderboard import choosing, overview, reading
from leaderboard.board import BoardKey
from leaderboard.comparison import Comparison
from leaderboard.curve import Curve
from leaderboard.entries import Noise
from leaderboard.export import to_csv
from leaderboard.model import Result
from leaderboard.predictions import ProbeWorth
from leaderboard.published import published
from leaderboard.table import (
    BoardSummary,
    Overview,
    QueryError,
    Standing,
    Table,
    TableQuery,
    UnknownBoard,
)
from ringfence.api import boards as answers
from ringfence.api.refusal import Kind, Refusal
from ringfence.api.results import CURVE_SOURCE, CurveView
from tasks.model import Task


@dataclass(frozen=True, kw_only=True)
class TaskBoard:
    """One board of a task, with all that the task's page shows around it."""

    choices: Sequence[BoardKey]
    """The task's boards: those of this service's own results, then the others that have results, the latest first."""
    here: Sequence[BoardKey]
    """Those that new results of this service stand on."""
    table: Table
    baselines: Sequence[Standing]
    """Each baseline's mean on this board, best first."""
    noise: Noise | None
    """Over seeds on this board; None where no baseline has several."""
    comparison: Comparison | None
    """The best submission on this board beside the best baseline; None where there is nothing to compare."""
    curves: Mapping[str, Curve]
    """Loss curves by run key."""
    elsewhere: int
    """Of how many of the runs that were asked for the curves are not shown, as they stand on other boards."""
    scoring: str
    """What scores mean on this board, or why there are none."""
    predictions: Sequence[ProbeWorth]
    """How well probes predicted tests, at every scale; empty while nothing is known of it."""


class LeaderboardReader:
    """Reads the leaderboard; every method takes a snapshot of its own, and may be called from any thread."""

    def __init__(
        self, store: Store, tasks: Mapping[str, Task], catalogue: Catalogue, snapshots: Snapshots, here: Here
    ) -> None:
        self._store = store
        self._snapshots = snapshots
        self._tasks = tasks
        self._catalogue = catalogue
        self._here = here

    def boards(self) -> answers.Boards:
        """Every task that has results, by id, with each of its boards."""
        with self._snapshots.open() as conn:
            found = choosing.summaries(conn)
            submitted = choosing.submitted(conn)
        return answers.Boards(
            leaderboards=tuple(
                self._of_task(task_id, list(each), submitted)
                for task_id, each in groupby(found, lambda one: one.board.task_id)
            )
        )

    def _of_task(self, task_id: str, found: Sequence[BoardSummary], submitted: Mapping[str, int]) -> answers.Board:
        return counted_boards(task_id, found, submitted, self._boards_here(task_id))

    def table(self, task_id: str, query: TableQuery) -> Table:
        """The results on one board of a task: the one that the query names, or the one shown by default. Raises
        Refusal for a query that has no answer, and for a task that nobody knows.
        """
        with self._snapshots.open() as conn:
            try:
                table = reading.rows(conn, task_id, query, self._boards_here(task_id))
            except UnknownBoard as error:
                raise Refusal(Kind.NOT_FOUND, "unknown_board", f"{error}.") from error
            except QueryError as error:
                raise Refusal(Kind.INVALID, "bad_query", f"{error}.") from error
        if table.board is None and task_id not in self._tasks:
            raise unknown_task(task_id, self._tasks)
        return table

    def csv(self, task_id: str, query: TableQuery) -> Iterator[str]:
        """The same as CSV text, piece by piece: whole where the query sets no limit. To be read by a thread of its own,
        which keeps nobody waiting. Raises Refusal.
        """
        if query.limit is not None or query.offset or not self._snapshots.apart:
            table = self.table(task_id, query)
            return to_csv(table.columns, table.rows)
        table = self.table(task_id, replace(query, limit=1))
        return self._streamed(table.columns, "" if table.board is None else table.board.id, query)

    def _streamed(self, columns: Sequence[str], board: str, query: TableQuery) -> Iterator[str]:
        with self._snapshots.open() as conn:
            yield from to_csv(columns, reading.every_row(conn, board, query))

    def leaderboard(self, task_id: str, query: TableQuery) -> answers.Leaderboard:
        """The same as an answer of the API. Raises Refusal."""
        table = self.table(task_id, query)
        top = self._leader(table.board)
        # Rows stay the mappings that were read: to make models of ten thousand would slow the answer down.
        return answers.Leaderboard.model_construct(
            task_id=table.task_id,
            board=None if table.board is None else board_facts(table.board, self._boards_here(task_id)),
            columns=table.columns,
            metric_columns=table.metric_columns,
            rows=cast(tuple[answers.Row, ...], table.rows),
            total=table.total,
            limit=table.limit,
            offset=table.offset,
            noise=None if top is None else noise_view(top.entries.noise),
            comparison=None if top is None else comparison_view(top.comparison),
            published=tuple(map(published_row, published().of(task_id, query.scale))),
        )

    def published(self) -> answers.PublishedFigures:
        """What others have published."""
        found = published()
        return answers.PublishedFigures(
            source=answers.Publication(**found.source.model_dump()), figures=tuple(map(published_row, found.figures))
        )

    def _leader(self, board: BoardKey | None) -> overview.Leader | None:
        if board is None:
            return None
        with self._snapshots.open() as conn:
            return overview.leader(conn, board.id)

    def overview(self) -> list[tuple[Overview, bool]]:
        """How far every task got, on every board that has results; and whether this service's new ones stand there."""
        with self._snapshots.open() as conn:
            found = overview.overviews(conn)
        here = {board for task in self._tasks.values() for board in self._here.boards(task)}
        return [(one, one.board in here) for one in found]

    def task_board(self, task_id: str, query: TableQuery, runs: Sequence[str]) -> TaskBoard:
        """What a task's page shows. `runs` are the keys of the results whose curves are shown: where the query names no
        board, it is that of the first of them. Raises QueryError, Refusal.
        """
        task = self._catalogue.task(task_id)
        here = self._boards_here(task_id)
        with self._snapshots.open() as conn:
            known = choosing.known_boards(conn, task_id)
            board_of = choosing.boards_of_results(conn, runs)
            unknown = next((run_key for run_key in runs if run_key not in board_of), None)
            if unknown is not None:
                raise unknown_result(unknown)
            if runs and query.board is None and query.scale is None:
                of_first = board_of[runs[0]]
                query = replace(query, board=of_first if of_first in {one.board.id for one in known} else None)
            table = reading.rows(conn, task_id, query, here)
            board = "" if table.board is None else table.board.id
            top = overview.leader(conn, board)
            told = predictions(conn, self._store, task_id)
        return TaskBoard(
            choices=tuple(dict.fromkeys((*here, *(one.board for one in known)))),
            here=here,
            table=table,
            baselines=overview.baselines(top.entries),
            noise=top.entries.noise,
            comparison=top.comparison,
            curves={run_key: self._losses(run_key)[2] for run_key in runs if board_of[run_key] == board},
            elsewhere=sum(board_of[run_key] != board for run_key in runs),
            scoring="" if table.board is None else self._scoring(task, table.board),
            predictions=told,
        )

    def _scoring(self, task: Task, board: BoardKey) -> str:
        if board.task_version != task.version:
            return "Results of an earlier version of the task: their scores, if any, are against the anchors of theirs."
        if board.data is not None and board.data not in {one.data for one in self._here.boards(task)}:
            return "Results on other data than this service's: scores, if any, are against what was measured there."
        return self._catalogue.scoring_note(task.id, board.scale)

    def _boards_here(self, task_id: str) -> Sequence[BoardKey]:
        task = self._tasks.get(task_id)
        return () if task is None else self._here.boards(task)

    def predictions(self, task_id: str) -> answers.ProbePredictions:
        """How well probes of a task predicted its tests. Raises Refusal."""
        self._catalogue.task(task_id)
        with self._snapshots.open() as conn:
            found = predictions(conn, self._store, task_id)
        told = tuple(answers.ProbePrediction(**asdict(one), share=round(one.share, 4)) for one in found)
        return answers.ProbePredictions(task_id=task_id, predictions=told)

    def curve(self, run_key: str, points: int) -> CurveView:
        """A result's loss curve with about so many of its points, its extremes among them. Raises Refusal."""
        result, stage, curve = self._losses(run_key)
        thin = curve.thinned(points)
        return CurveView(
            run_key=run_key,
            board=result.board.id,
            runner_class=result.origin.runner_class.value,
            mark=result.origin.runner_class.mark,
            source=CURVE_SOURCE,
            stage=stage,
            points=len(curve.step),
            step=thin.step,
            train_loss=thin.train_loss,
            val_loss=thin.val_loss,
        )

    def _losses(self, run_key: str) -> tuple[Result, str, Curve]:
        """A result, the label of the stage that its losses are from, of its last attempt where there were several, and
        the losses.
        """
        with self._snapshots.open() as conn:
            entry = reading.entry(conn, run_key)
            if entry is None:
                raise unknown_result(run_key)
            found = self._store.series(conn, entry.result.session_id, entry.result.test)
        label, points = next(((label, series) for label, series in reversed(found) if series), ("", []))
        step, train, val = zip(*points, strict=True) if points else ((), (), ())
        return entry.result, label, Curve(step, train, val)
