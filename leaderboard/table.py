"""What is asked of a leaderboard and what it answers, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from leaderboard.board import BoardKey
from leaderboard.comparison import Comparison

COMPARED_COLUMNS = ("entry_n", "entry_mean", "entry_sd", "delta", "delta_error", "delta_p", "verdict")
"""What there is to say of a row's entry (see `entries`), and of it beside the best baseline; no table sorts by them."""
FIXED_COLUMNS = (
    *("timestamp", "agent", "session_id", "test", "is_final", "status", "scale", "seed", "score"),
    *("delta_noise", "run_key", "parameters", "template_unmodified", "duplicate_of", "auto_submitted"),
    *("compute", "certified", "certified_error", "unmet"),
    *("board", "task_version", "runner_class", "runner", "image", "training_data", "heldout_data", "reserve_data"),
    *("confirms",),
    *COMPARED_COLUMNS,
)
"""Every table starts with these; the task's metrics and elapsed times follow."""

MAX_LIMIT = 10_000
MAX_OFFSET = 2**31 - 1

Cell = str | int | float | bool | None


class QueryError(ValueError):
    """A query that has no answer; its text says what would have one."""


class UnknownColumn(QueryError):
    """`sort` names no column of this table."""

    def __init__(self, column: str, columns: tuple[str, ...]) -> None:
        super().__init__(f"no column {column!r} to sort by; the columns are: {', '.join(columns)}")
        self.column = column
        self.columns = columns


class UnknownBoard(QueryError):
    """The task has no board of this id, at the scale that was asked for."""

    def __init__(self, board: str, scale: str | None) -> None:
        at = "" if scale is None else f" at scale {scale!r}"
        super().__init__(f"the task has no board {board!r}{at}; GET /v1/leaderboards lists those there are")
        self.board = board
        self.scale = scale


class BadPage(QueryError):
    """`limit` or `offset` out of its range."""

    def __init__(self, field: str, value: int, lowest: int, highest: int) -> None:
        super().__init__(f"{field} must be {lowest} to {highest}, not {value}")
        self.field = field
        self.value = value
        self.lowest = lowest
        self.highest = highest


@dataclass(frozen=True, kw_only=True)
class TableQuery:
    """Which rows of a task's leaderboard are asked for, and in which order. Raises BadPage."""

    board: str | None = None
    """The id of the one board that they stand on; None for the one that is chosen where none is named."""
    scale: str | None = None
    """The scale of that board, where none is named; a board of another scale is an unknown one."""
    status: str | None = None
    agent: str | None = None
    final: bool = True
    """Whether to leave out all results that were not submitted."""
    sort: str | None = None
    """A column, with a leading `-` for descending; rows that have no value in it come last either way.

    None: best first, by the first metric named `val_loss_*`; by time where there is none. What took more compute (see
    `naming.MORE_COMPUTE`) then comes after the others, and what lacks something that its task asks for after that. By a
    metric or a score, what did not succeed comes last of all.
    """
    limit: int | None = 100
    """Rows of a page, 1 to MAX_LIMIT; None takes them all."""
    offset: int = 0

    def __post_init__(self) -> None:
        if self.limit is not None and not 1 <= self.limit <= MAX_LIMIT:
            raise BadPage("limit", self.limit, 1, MAX_LIMIT)
        if not 0 <= self.offset <= MAX_OFFSET:
            raise BadPage("offset", self.offset, 0, MAX_OFFSET)


@dataclass(frozen=True, kw_only=True)
class Table:
    """A page of one board of a task."""

    task_id: str
    board: BoardKey | None
    """None for a task that has no board at all."""
    columns: tuple[str, ...]
    """All keys of every row, in order: FIXED_COLUMNS, metrics, elapsed times (seconds)."""
    metric_columns: tuple[str, ...]
    rows: tuple[Mapping[str, Cell], ...]
    """`timestamp` is ISO 8601 in UTC; what a row lacks, and what was not finite, is None.

    `score` and `delta_noise` are None where the task version has no anchors at this scale, or a metric is missing.
    """
    total: int
    """Rows that match the query, on this page and off it."""
    limit: int | None
    offset: int


@dataclass(frozen=True, kw_only=True)
class BoardSummary:
    """One board at a glance."""

    board: BoardKey
    rows: int
    sessions: int
    last: datetime
    """When its latest result was finished, UTC."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where one result stands: whose it is, and its value in the column that ranks."""

    run_key: str
    session_id: str
    test: int
    agent: str
    value: float


@dataclass(frozen=True, kw_only=True)
class Overview:
    """How far a task got on one board."""

    board: BoardKey
    tests: int
    sessions: int
    metric: str | None
    """The column that its results are ranked by; None before anything was measured."""
    best: Standing | None
    """The best submitted result that is no baseline's, took no more compute than `naming.MORE_COMPUTE`, and lacks
    nothing that its task asks for."""
    baseline: Standing | None
    """The baseline with the lowest mean over its seeds, and that mean; submitted or not."""
    comparison: Comparison | None
    """The entry of the best result beside that baseline; None where there is nothing to compare."""


def iso(at: datetime) -> str:
    """An aware time as ISO 8601 in UTC with milliseconds, e.g. `2026-11-03T12:34:56.789Z`."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
