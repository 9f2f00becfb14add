"""The long reads: each is a function of what it reads from, and gives the bytes of its answer.

The process that reads imports this, and nothing of the framework.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from env.http.encoding import event, json_bytes, json_pieces
from env.http.session_page import session_page
from env.service.history import HistoryPage
from env.service.readings import Readings
from leaderboard.pages.address import BoardAddress
from leaderboard.pages.home import TaskEntry, home_page
from leaderboard.pages.task import NamedCurve, TaskDetails, task_page
from leaderboard.published import published
from leaderboard.table import QueryError, TableQuery, UnknownBoard
from ringfence.api.refusal import Kind, Refusal
from ringfence.api.sessions import TrajectoryView
from tasks.model import Task


def leaderboards(readings: Readings) -> Iterator[bytes]:
    """The tasks that have results, as JSON."""
    yield json_bytes(readings.boards.boards())


def leaderboard(readings: Readings, task_id: str, query: TableQuery) -> Iterator[bytes]:
    """A table as JSON."""
    board = readings.boards.leaderboard(task_id, query)
    yield from json_pieces(board, "rows", board.rows)


def leaderboard_csv(readings: Readings, task_id: str, query: TableQuery) -> Iterator[bytes]:
    """The same as CSV."""
    return (piece.encode() for piece in readings.boards.csv(task_id, query))


def curve(readings: Readings, run_key: str, points: int) -> Iterator[bytes]:
    """A loss curve as JSON."""
    yield json_bytes(readings.boards.curve(run_key, points))


def predictions(readings: Readings, task_id: str) -> Iterator[bytes]:
    """How well probes predicted tests, as JSON."""
    yield json_bytes(readings.boards.predictions(task_id))


def trajectory(readings: Readings, whole: TrajectoryView, last: int) -> Iterator[bytes]:
    """A trajectory as JSON; `whole` lacks its steps, of which `last` is the last one's number."""
    return json_pieces(whole, "steps", readings.history.steps(whole.session_id, last))


def end_of_test(readings: Readings, session_id: str, n: int, shown: int, attempt: int) -> Iterator[bytes]:
    """What is left to tell those who listen to a test that is over: losses after the first `shown`, and the result."""
    test = readings.history.test(session_id, n, None)
    for point in test.progress.series[shown:]:
        yield event("metrics", point.to_dict() | {"attempt": attempt}).encode()
    yield event("result", test.to_dict()).encode()


def home(readings: Readings, tasks: Sequence[TaskEntry]) -> Iterator[bytes]:
    """The home page."""
    yield home_page(tasks, readings.boards.overview()).encode()


def task(readings: Readings, task_id: str, query: BoardAddress) -> Iterator[bytes]:
    """A task's page."""
    try:
        board = readings.boards.task_board(task_id, query.query(), query.runs)
    except UnknownBoard as error:
        raise Refusal(Kind.NOT_FOUND, "unknown_board", f"{error}.") from error
    except QueryError as error:
        raise Refusal(Kind.INVALID, "bad_query", f"{error}.") from error
    curves = [NamedCurve(run_key, run_key, curve) for run_key, curve in board.curves.items()]
    text = task_page(
        _details(readings.tasks[task_id]),
        board.table,
        query,
        board.choices,
        board.here,
        board.baselines,
        curves,
        board.elsewhere,
        board.scoring,
        board.comparison,
        board.noise,
        board.predictions,
        published().of(task_id, None if board.table.board is None else board.table.board.scale),
    )
    yield text.encode()


def session(readings: Readings, wanted: HistoryPage) -> Iterator[bytes]:
    """A session's page."""
    yield session_page(readings.history.session(wanted)).encode()


def _details(task: Task) -> TaskDetails:
    return TaskDetails(
        task_id=task.id,
        title=task.title,
        description=task.description,
        filename=task.filename,
        text=task.text,
        editable=task.editable,
        scales={name: scale.summary for name, scale in task.scales.items()},
        tests=task.budget.tests,
        probes=task.budget.probes if any(scale.probe for scale in task.scales.values()) else None,
    )
