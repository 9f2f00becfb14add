"""A task's page: its leaderboard, loss curves, question and ring-fenced file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from leaderboard.board import BoardKey
from leaderboard.comparison import Comparison
from leaderboard.curve import Curve
from leaderboard.entries import Noise
from leaderboard.model import RESULT_STATUSES
from leaderboard.naming import COUNTS
from leaderboard.pages.address import MAX_RUNS, BoardAddress
from leaderboard.pages.board import BoardView, board_view
from leaderboard.pages.listing import blocks
from leaderboard.pages.render import prose, render
from leaderboard.predictions import ProbeWorth
from leaderboard.published import MARK, PublishedFigure
from leaderboard.table import Standing, Table

_CHOSEN = 4
"""Curves shown when nobody chose any: the first rows', and the best baseline's."""
TABLE_POINTS = 16
"""Rows of a curve's table of points."""


@dataclass(frozen=True, kw_only=True)
class TaskDetails:
    """What a task's page says of the task itself."""

    task_id: str
    title: str
    description: str
    filename: str
    text: str
    editable: tuple[tuple[int, int], ...]
    scales: Mapping[str, str]
    """Name to summary."""
    tests: int
    """The test budget of a session."""
    probes: int | None = None
    """Its budget of probes; None for a task that has none at any scale."""


@dataclass(frozen=True)
class NamedCurve:
    """A run's curve with what to call it."""

    run_key: str
    name: str
    curve: Curve

    @property
    def points(self) -> list[tuple[int, float | None, float | None]]:
        thin = self.curve.every(TABLE_POINTS)
        return list(zip(thin.step, thin.train_loss, thin.val_loss, strict=True))


def task_page(
    task: TaskDetails,
    table: Table,
    query: BoardAddress,
    choices: Sequence[BoardKey],
    here: Sequence[BoardKey],
    baselines: Sequence[Standing],
    curves: Sequence[NamedCurve],
    elsewhere: int = 0,
    scoring: str = "",
    comparison: Comparison | None = None,
    noise: Noise | None = None,
    predictions: Sequence[ProbeWorth] = (),
    published: Sequence[PublishedFigure] = (),
) -> str:
    """The page as HTML.

    `choices` are the boards to choose from, `here` those of the service's own results, `curves` those of the runs that
    the query names, but for `elsewhere` that stand on other boards; `scoring` says what scores mean. `comparison` is
    that of the board's best submission, `noise` that over seeds there, and `predictions` say how well probes predicted
    tests; `published` are figures of others, shown beside the board.
    """
    query = replace(query, board=None if table.board is None else table.board.id, scale=None)
    board = board_view(table, query)
    return render(
        "task.html",
        task=task,
        board=board,
        query=query,
        key=table.board,
        choices=choices,
        here=here,
        elsewhere=elsewhere,
        statuses=RESULT_STATUSES,
        baselines=baselines,
        curves=curves,
        scoring=scoring,
        comparison=comparison,
        noise=noise,
        predictions=predictions,
        published=published,
        published_mark=MARK,
        chosen=query.runs or _chosen(board, baselines),
        max_runs=MAX_RUNS,
        description=prose(task.description),
        blocks=blocks(task.text, task.editable),
        export=urlencode([(name, value) for name, value in query.parameters() if name != "page"]),
    )


def _chosen(board: BoardView, baselines: Sequence[Standing]) -> tuple[str, ...]:
    first = [row.run_key for row in board.rows if row.status == COUNTS][:_CHOSEN]
    return tuple(dict.fromkeys([*first, *(standing.run_key for standing in baselines[:1])]))
