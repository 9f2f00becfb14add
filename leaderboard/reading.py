"""The statements that read a leaderboard, inside the caller's transaction; the same on SQLite and PostgreSQL."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, exists, func, or_, select

from leaderboard.board import BoardKey, Origin
from leaderboard.choosing import choose, known_boards
from leaderboard.columns import ELAPSED, METRIC, SCORE, SCORES, Columns, columns_at
from leaderboard.comparing import compared_cells, comparison_of
from leaderboard.model import RecordedResult, Result
from leaderboard.naming import COUNTS, MORE_COMPUTE
from leaderboard.table import FIXED_COLUMNS, Cell, Table, TableQuery, UnknownColumn, iso
from leaderboard.tables import boards, result_texts, result_values, results, submissions

_VALUES_AT_ONCE = 500  # run keys per statement: far below every database's limit on parameters

_JOINED = results.join(boards, boards.c.id == results.c.board).outerjoin(
    submissions, submissions.c.run_key == results.c.run_key
)
_IS_FINAL = submissions.c.run_key.is_not(None)
_IS_AUTO = submissions.c.auto_submitted.is_(True)
_FIXED: Mapping[str, ColumnElement[Any]] = {
    "timestamp": results.c.finished_at,
    "agent": results.c.agent,
    "session_id": results.c.session_id,
    "test": results.c.test,
    "is_final": _IS_FINAL,
    "status": results.c.status,
    "scale": results.c.scale,
    "seed": results.c.seed,
    "run_key": results.c.run_key,
    "parameters": results.c.parameters,
    "template_unmodified": results.c.template_unmodified,
    "duplicate_of": results.c.duplicate_of,
    "auto_submitted": _IS_AUTO,
    "compute": results.c.compute,
    "certified": results.c.certified,
    "certified_error": results.c.certified_error,
    "confirms": results.c.confirms,
    "board": results.c.board,
    "task_version": results.c.task_version,
    "runner_class": boards.c.runner_class,
    "runner": results.c.runner,
    "image": results.c.image,
    "training_data": results.c.training_data,
    "heldout_data": results.c.heldout_data,
    "reserve_data": results.c.reserve_data,
    "unmet": results.c.unmet,
}
"""The fixed columns but for those that are stored as values, and those that are computed of a row's entry."""
_OF_OTHERS = {"code_sha256", "board", *vars(Origin.of({}))}
"""Columns that follow from a result's code, or from its record."""
_COUNTS = results.c.status == COUNTS
_APART = or_(
    and_(results.c.compute.is_not(None), results.c.compute > MORE_COMPUTE),
    results.c.unmet.is_not(None),
)
_FIELDS = [key.label(name) for name, key in _FIXED.items()]
_TIES = (results.c.finished_at, results.c.run_key)
"""Oldest first, the same on every page."""


def entry(connection: Connection, run_key: str) -> RecordedResult | None:
    """A recorded result and what became of it, or None.

    Values that were not finite come back as NaN, in `record` as None.
    """
    c = results.c
    statement = (
        select(*results.columns, result_texts.c.record, result_texts.c.code, _IS_FINAL.label("is_final"))
        .add_columns(_IS_AUTO.label("auto_submitted"))
        .select_from(_JOINED.join(result_texts, result_texts.c.run_key == c.run_key))
        .where(c.run_key == run_key)
    )
    found = connection.execute(statement).mappings().one_or_none()
    if found is None:
        return None
    row = dict(found)
    measured: dict[str, dict[str, float]] = {METRIC: {}, ELAPSED: {}, SCORE: {}}
    for value in _values(connection, [run_key]):
        measured[value.kind][value.name] = math.nan if value.value is None else value.value
    row = {name: value for name, value in row.items() if name not in _OF_OTHERS}
    about = {name: row.pop(name) for name in ("duplicate_of", "is_final", "auto_submitted")}
    over = select(submissions.c.session_id).where(submissions.c.session_id == row["session_id"])
    return RecordedResult(
        result=Result(**row, metrics=measured[METRIC], elapsed=measured[ELAPSED]),
        session_over=row["confirms"] is not None or connection.execute(over).first() is not None,
        comparison=comparison_of(connection, run_key),
        score=measured[SCORE].get("score"),
        delta_noise=measured[SCORE].get("delta_noise"),
        **about,
    )


def rows(connection: Connection, task_id: str, query: TableQuery, here: Sequence[BoardKey] = ()) -> Table:
    """A page of one board of a task; empty for a task nobody ran. Raises UnknownBoard, UnknownColumn.

    The columns are those of the board, the same on every page. `here`: see `choosing.choose`.
    """
    board = choose(known_boards(connection, task_id), here, board=query.board, scale=query.scale)
    of_board = "" if board is None else board.id
    columns = columns_at(connection, of_board)
    matching = _matching(of_board, query)
    counted = results.join(submissions, submissions.c.run_key == results.c.run_key) if query.final else results
    total = connection.execute(select(func.count()).select_from(counted).where(*matching)).scalar_one()
    page = _page_across(connection, _statements(matching, columns, query), query)
    return Table(
        task_id=task_id,
        board=board,
        columns=columns.all,
        metric_columns=columns.metrics,
        rows=tuple(_cells(connection, page, columns)),
        total=total,
        limit=query.limit,
        offset=query.offset,
    )


def every_row(connection: Connection, board: str, query: TableQuery) -> Iterator[Mapping[str, Cell]]:
    """All rows of a board that match a query, in its order, whatever its limit and offset; read a few at a time."""
    columns = columns_at(connection, board)
    for statement in _statements(_matching(board, query), columns, query):
        found = connection.execution_options(stream_results=True).execute(statement)
        for some in found.partitions(_VALUES_AT_ONCE):
            yield from _cells(connection, some, columns)


def _cells(
    connection: Connection, found: Sequence[Row[*tuple[Any, ...]]], columns: Columns
) -> Iterable[Mapping[str, Cell]]:
    """Rows with all their columns."""
    cells: dict[str, dict[str, Cell]] = {row.run_key: dict.fromkeys(columns.all) for row in found}
    for value in _values(connection, list(cells)):
        cells[value.run_key][value.name] = value.value
    compared = compared_cells(connection, list(cells))
    for row in found:
        cells[row.run_key] |= {**row._mapping, "timestamp": iso(row.timestamp), **compared[row.run_key]}
    return cells.values()


def _matching(board: str, query: TableQuery) -> list[ColumnElement[bool]]:
    conditions = [results.c.board == board]
    for column, wanted in ((results.c.status, query.status), (results.c.agent, query.agent)):
        if wanted is not None:
            conditions.append(column == wanted)
    if query.final:
        conditions.append(_IS_FINAL)
    return conditions


def _statements(
    matching: Sequence[ColumnElement[bool]], columns: Columns, query: TableQuery
) -> list[Select[*tuple[Any, ...]]]:
    """What reads the rows, one statement after another. Raises UnknownColumn."""
    sort = query.sort or columns.primary_metric or "timestamp"
    name, descending = sort.removeprefix("-"), sort.startswith("-")
    if name not in columns.sortable:
        raise UnknownColumn(name, columns.sortable)
    if name in SCORES or name not in FIXED_COLUMNS:
        kind = SCORE if name in SCORES else METRIC if name in columns.metrics else ELAPSED
        groups: list[list[ColumnElement[bool]]] = [[_COUNTS], [~_COUNTS]]
        if not query.sort:
            groups = [
                [_COUNTS, ~_APART],
                [_COUNTS, _APART, results.c.unmet.is_(None)],
                [_COUNTS, results.c.unmet.is_not(None)],
                [~_COUNTS],
            ]
        elif kind == ELAPSED:
            groups = [[]]
        return [part for group in groups for part in _by_value([*matching, *group], kind, name, descending)]
    key = _FIXED[name]
    order = [key.is_(None), *_ordered(key, descending)]
    if key is results.c.finished_at:
        order = _ordered(key, descending)  # never null: in the order of an index
    return [select(*_FIELDS).select_from(_JOINED).where(*matching).order_by(*order, *_TIES)]


def _by_value(
    matching: Sequence[ColumnElement[bool]], kind: str, name: str, descending: bool
) -> list[Select[*tuple[Any, ...]]]:
    """Two statements: rows with a value in the order of its index, and those that have none."""
    c, value = results.c, result_values.c
    of_row = and_(value.run_key == c.run_key, value.kind == kind, value.name == name, value.value.is_not(None))
    valued = select(*_FIELDS).select_from(_JOINED.join(result_values, of_row)).where(*matching)
    without = select(*_FIELDS).select_from(_JOINED).where(*matching, ~exists().where(of_row))
    return [valued.order_by(*_ordered(value.value, descending), *_TIES), without.order_by(*_TIES)]


def _page_across(
    connection: Connection, parts: Sequence[Select[*tuple[Any, ...]]], query: TableQuery
) -> list[Row[*tuple[Any, ...]]]:
    """The page of all rows of the statements, one after another; none is read further than the page reaches."""
    page: list[Row[*tuple[Any, ...]]] = []
    skip = query.offset
    for part in parts:
        room = None if query.limit is None else query.limit - len(page)
        if room == 0:
            break
        found = connection.execute(part.limit(room).offset(skip)).all()
        page += found
        if found:
            skip = 0
        elif skip:
            counted = select(func.count()).select_from(part.order_by(None).subquery())
            skip -= connection.execute(counted).scalar_one()
    return page


def _ordered(key: ColumnElement[Any], descending: bool) -> list[ColumnElement[Any]]:
    return [key.desc() if descending else key.asc()]


def _values(connection: Connection, run_keys: Sequence[str]) -> list[Row[*tuple[Any, ...]]]:
    c = result_values.c
    # Metrics last, so that they win the cell should an elapsed time carry a metric's name.
    statement = select(c.run_key, c.kind, c.name, c.value).order_by(c.kind, c.position)
    found: list[Row[*tuple[Any, ...]]] = []
    for start in range(0, len(run_keys), _VALUES_AT_ONCE):
        chunk = run_keys[start : start + _VALUES_AT_ONCE]
        found += connection.execute(statement.where(c.run_key.in_(chunk))).all()
    return found
