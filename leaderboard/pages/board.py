"""A leaderboard's table as a page shows it: grouped columns, links that sort, formatted cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

from leaderboard import naming
from leaderboard.board import RunnerClass
from leaderboard.comparison import mean_text
from leaderboard.pages import figures
from leaderboard.pages.address import PAGE_ROWS, BoardAddress
from leaderboard.table import COMPARED_COLUMNS, Cell, Table

_OWN = (
    *("timestamp", "agent", "session_id", "test", "is_final", "status", "scale", "seed", "score", "run_key"),
    *("board", "task_version", "runner_class", "runner", "image", "training_data", "heldout_data", "reserve_data"),
    *("confirms", *COMPARED_COLUMNS),
)
"""Columns with a place of their own in the page's table, or none at all."""
_LABELS = {
    "auto_submitted": "auto-submitted",
    "duplicate_of": "duplicate",
    "template_unmodified": "unedited",
    "unmet": "",
}
"""Columns that are labels. An empty title: the value itself is the label."""


@dataclass(frozen=True, kw_only=True)
class Heading:
    """The heading of a column, which is a link that sorts."""

    title: str
    column: str
    address: str
    """Sorts by this column; the other way round if it does already."""
    sorted: Literal["ascending", "descending", "none"]
    numeric: bool = True


@dataclass(frozen=True)
class HeadingGroup:
    """Neighbouring columns of one stage."""

    title: str
    headings: tuple[Heading, ...]


@dataclass(frozen=True, kw_only=True)
class BoardRow:
    """One result as a row of the page's table."""

    rank: int | None
    """Its place in the order; None for a result that does not count."""
    run_key: str
    agent: str
    agent_address: str
    session_id: str
    test: int
    status: str
    final: bool
    finished: str
    """ISO 8601, UTC."""
    baseline: bool
    cells: tuple[str, ...]
    """Formatted, one per heading of the groups."""
    labels: tuple[str, ...] = ()
    entry: str = ""
    """Mean and scatter over the seeds of its code."""
    verdict: str = ""
    """Of that beside the best baseline, or that it is it; empty where there is nothing to compare."""


@dataclass(frozen=True, kw_only=True)
class BoardView:
    """The page's table: rows `first` to `last` of `total`, and the addresses of the pages beside it."""

    groups: tuple[HeadingGroup, ...]
    agent: Heading
    finished: Heading
    rows: tuple[BoardRow, ...]
    total: int
    first: int
    last: int
    sorted_by: str
    previous: str | None = None
    next: str | None = None
    pages: int = 1
    runs: tuple[str, ...] = field(default=())


def board_view(table: Table, query: BoardAddress) -> BoardView:
    """The table as the page shows it; `table` holds the page of rows that `query` asks for."""
    sort = query.sort or naming.ranking_column(table.metric_columns) or "timestamp"
    shown = [*_grouped(table)]
    columns = [column for _, members in shown for column in members]
    places = {column: figures.decimals(row[column] for row in table.rows) for column in columns}
    rows = tuple(_row(row, table.offset + n, query, columns, places) for n, row in enumerate(table.rows, 1))
    pages = max(1, -(-table.total // PAGE_ROWS))
    return BoardView(
        groups=tuple(
            HeadingGroup(label, tuple(_heading(_title(name, label), name, sort, query) for name in members))
            for label, members in shown
        ),
        agent=_heading("Agent", "agent", sort, query, numeric=False),
        finished=_heading("Finished", "timestamp", sort, query, numeric=False),
        rows=rows,
        total=table.total,
        first=table.offset + 1 if rows else 0,
        last=table.offset + len(rows),
        sorted_by=sort.removeprefix("-"),
        previous=query.address(page=min(query.page - 1, pages)) if query.page > 1 else None,
        next=query.address(page=query.page + 1) if query.page < pages else None,
        pages=pages,
        runs=query.runs,
    )


def _grouped(table: Table) -> Iterator[tuple[str, list[str]]]:
    """Stage labels and their columns in order, time last; then what belongs to no stage and has a value somewhere."""
    elapsed = [name for name in table.columns if naming.is_elapsed_column(name) and name not in table.metric_columns]
    labels = {naming.split_column(name)[1] for name in elapsed}

    def label_of(column: str) -> str:
        label = naming.split_column(column)[1]
        return label if label in labels else ""

    for label, members in groupby(table.metric_columns, key=label_of):
        own, time = list(members), naming.elapsed_column(label)
        if time in elapsed:
            own.append(time)
            elapsed.remove(time)
        yield label, own
    for name in elapsed:
        yield naming.split_column(name)[1], [name]
    known = {*_OWN, *_LABELS, *table.metric_columns}
    others = [name for name in ("score", *table.columns) if name == "score" or name not in known]
    others = [name for name in dict.fromkeys(others) if not naming.is_elapsed_column(name)]
    others = [name for name in others if any(row.get(name) is not None for row in table.rows)]
    if others:
        yield "", others


def _title(column: str, label: str) -> str:
    bare = column.removesuffix(f"_{label}") if label else column
    return "time" if bare == "elapsed" else bare


def _heading(title: str, column: str, sort: str, query: BoardAddress, numeric: bool = True) -> Heading:
    if sort.removeprefix("-") != column:
        # The first click brings the best, or the latest, to the top.
        first = f"-{column}" if _higher_is_better(column) else column
        return Heading(title=title, column=column, address=query.address(sort=first), sorted="none", numeric=numeric)
    descending = sort.startswith("-")
    turned = column if descending else f"-{column}"
    return Heading(
        title=title,
        column=column,
        address=query.address(sort=turned),
        sorted="descending" if descending else "ascending",
        numeric=numeric,
    )


def _higher_is_better(column: str) -> bool:
    if column in ("agent", "parameters", "compute", "certified", "certified_error") or naming.is_elapsed_column(column):
        return False
    return not naming.lower_is_better(naming.split_column(column)[0])


def _row(
    row: Mapping[str, Cell], rank: int, query: BoardAddress, columns: Sequence[str], places: Mapping[str, int]
) -> BoardRow:
    agent, session_id, test = str(row["agent"]), str(row["session_id"]), row["test"]
    assert isinstance(test, int)
    return BoardRow(
        rank=rank if row["status"] == naming.COUNTS and row.get("unmet") is None else None,
        run_key=str(row.get("run_key") or f"{session_id}-{test}"),
        agent=agent,
        agent_address=query.address(agent=agent),
        session_id=session_id,
        test=test,
        status=str(row["status"]),
        final=bool(row["is_final"]),
        finished=str(row["timestamp"]),
        baseline=naming.is_baseline(agent),
        cells=tuple(_cell(column, row[column], places[column]) for column in columns),
        labels=_labels(row),
        entry=_entry(row),
        verdict="best baseline" if row.get("delta") == 0 and row.get("delta_p") is None else str(row["verdict"] or ""),
    )


def _entry(row: Mapping[str, Cell]) -> str:
    n, mean, sd = (row.get(name) for name in ("entry_n", "entry_mean", "entry_sd"))
    if not isinstance(n, int) or not isinstance(mean, float):
        return figures.ABSENT
    return mean_text(mean, sd if isinstance(sd, float) else None, n)


def _labels(row: Mapping[str, Cell]) -> tuple[str, ...]:
    mark = RunnerClass(str(row["runner_class"])).mark
    labels = [mark] * bool(mark) + [title or str(row[name]) for name, title in _LABELS.items() if row.get(name)]
    compute = row.get("compute")
    if isinstance(compute, int | float) and compute > naming.MORE_COMPUTE:
        labels.append("more compute")
    if row.get("confirms"):
        labels.append(f"confirms {row['confirms']}")
    return tuple(labels)


def _cell(column: str, value: Cell, places: int) -> str:
    if naming.is_elapsed_column(column) and isinstance(value, int | float):
        return figures.duration(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return figures.count(value)
    return figures.figure(value, places)
