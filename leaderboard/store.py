"""Every statement the leaderboard runs. Functions work inside the caller's transaction and never commit.

Statements are the same on SQLite and PostgreSQL; the one thing the two spell apart is in `_insert_or_skip`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Insert, Row, Select, and_, func, insert, select
from sqlalchemy import Table as SqlTable

from leaderboard.model import Result
from leaderboard.schema import result_columns, result_values, results, submissions
from leaderboard.table import FIXED_COLUMNS, Board, Cell, Query, Table, UnknownColumn, iso

_METRIC, _ELAPSED = "metric", "elapsed"
_VALUES_AT_ONCE = 500  # run keys per statement: far below every database's limit on parameters

_JOINED = results.outerjoin(submissions, submissions.c.run_key == results.c.run_key)
_IS_FINAL = submissions.c.run_key.is_not(None)
_SORT_KEYS: Mapping[str, ColumnElement[Any]] = {
    "timestamp": results.c.finished_at,
    "agent": results.c.agent,
    "session_id": results.c.session_id,
    "test": results.c.test,
    "is_final": _IS_FINAL,
    "status": results.c.status,
    "scale": results.c.scale,
    "seed": results.c.seed,
}


class SubmissionError(Exception):
    """A submission that was refused; nothing changed."""


class UnknownRun(SubmissionError):
    """The session has no result of this run."""

    def __init__(self, session_id: str, run_key: str) -> None:
        super().__init__(f"session {session_id} has no result {run_key}")
        self.session_id = session_id
        self.run_key = run_key


class AlreadySubmitted(SubmissionError):
    """The session submitted another run before."""

    def __init__(self, session_id: str, submitted: str, refused: str) -> None:
        super().__init__(f"session {session_id} already submitted {submitted}, so {refused} was refused")
        self.session_id = session_id
        self.submitted = submitted
        self.refused = refused


@dataclass(frozen=True)
class _Columns:
    metrics: tuple[str, ...]
    elapsed: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(FIXED_COLUMNS + self.metrics + self.elapsed))

    @property
    def primary_metric(self) -> str | None:
        return next((name for name in self.metrics if name.startswith("val_loss_")), None)


def record(connection: Connection, result: Result) -> bool:
    """Add a result. False, and nothing changes, if there is one of that run already."""
    row = {column.name: getattr(result, column.name) for column in results.columns}
    if not _insert_new(connection, results, row):
        return False
    measured = [
        (kind, position, name, value)
        for kind, values in ((_METRIC, result.metrics), (_ELAPSED, result.elapsed))
        for position, (name, value) in enumerate(values.items())
    ]
    if not measured:
        return True
    stored = [
        {"run_key": result.run_key, "kind": kind, "name": name, "position": position, "value": _finite(value)}
        for kind, position, name, value in measured
    ]
    connection.execute(insert(result_values), stored)
    known = {(kind, name) for kind, name in connection.execute(_columns_of(result.task_id, result.scale))}
    for kind, position, name, _ in measured:
        if (kind, name) not in known:
            column = {"kind": kind, "name": name, "position": position}
            _insert_new(connection, result_columns, {"task_id": result.task_id, "scale": result.scale, **column})
    return True


def submit(connection: Connection, session_id: str, run_key: str, at: datetime) -> None:
    """Make a result its session's final one; a repetition changes nothing. Raises UnknownRun, AlreadySubmitted."""
    run = select(results.c.run_key).where(results.c.run_key == run_key, results.c.session_id == session_id)
    if connection.execute(run).first() is None:
        raise UnknownRun(session_id, run_key)
    if _insert_new(connection, submissions, {"session_id": session_id, "run_key": run_key, "submitted_at": at}):
        return
    submitted = select(submissions.c.run_key).where(submissions.c.session_id == session_id)
    before = connection.execute(submitted).scalar_one()
    if before != run_key:
        raise AlreadySubmitted(session_id, before, run_key)


def result(connection: Connection, run_key: str) -> Result | None:
    """A recorded result, or None. Values that were not finite come back as NaN, in `record` as None."""
    row = connection.execute(select(results).where(results.c.run_key == run_key)).one_or_none()
    if row is None:
        return None
    measured: dict[str, dict[str, float]] = {_METRIC: {}, _ELAPSED: {}}
    for value in _values(connection, [run_key]):
        measured[value.kind][value.name] = math.nan if value.value is None else value.value
    return Result(**row._mapping, metrics=measured[_METRIC], elapsed=measured[_ELAPSED])


def boards(connection: Connection) -> list[Board]:
    """Every task that has results, by id."""
    statement = (
        select(
            results.c.task_id,
            func.count().label("rows"),
            func.count(results.c.session_id.distinct()).label("sessions"),
            func.count(submissions.c.session_id).label("submissions"),
            func.max(results.c.finished_at).label("last"),
        )
        .select_from(_JOINED)
        .group_by(results.c.task_id)
        .order_by(results.c.task_id)
    )
    return [Board(**row._mapping) for row in connection.execute(statement)]


def rows(connection: Connection, task_id: str, query: Query) -> Table:
    """A page of a task's results; empty for a task nobody ran. Raises UnknownColumn.

    The columns are those of the task, at the query's scale if it names one: the same on every page.
    """
    columns = _columns(connection, task_id, query.scale)
    matching = _matching(task_id, query)
    total = connection.execute(select(func.count()).select_from(_JOINED).where(*matching)).scalar_one()
    page = connection.execute(_page(matching, columns, query)).all()
    cells: dict[str, dict[str, Cell]] = {row.run_key: dict.fromkeys(columns.all) for row in page}
    for value in _values(connection, list(cells)):
        cells[value.run_key][value.name] = value.value
    for row in page:
        cells[row.run_key] |= _fixed_cells(row)
    return Table(
        task_id=task_id,
        columns=columns.all,
        metric_columns=columns.metrics,
        rows=tuple(cells.values()),
        total=total,
        limit=query.limit,
        offset=query.offset,
    )


def _columns(connection: Connection, task_id: str, scale: str | None) -> _Columns:
    found = connection.execute(_columns_of(task_id, scale)).all()
    metrics, elapsed = (
        tuple(dict.fromkeys(row.name for row in found if row.kind == kind)) for kind in (_METRIC, _ELAPSED)
    )
    return _Columns(metrics, elapsed)


def _columns_of(task_id: str, scale: str | None) -> Select[str, str]:
    c = result_columns.c
    statement = select(c.kind, c.name).where(c.task_id == task_id).order_by(c.scale, c.position, c.name)
    return statement if scale is None else statement.where(c.scale == scale)


def _matching(task_id: str, query: Query) -> list[ColumnElement[bool]]:
    conditions = [results.c.task_id == task_id]
    for column, wanted in (
        (results.c.scale, query.scale),
        (results.c.status, query.status),
        (results.c.agent, query.agent),
    ):
        if wanted is not None:
            conditions.append(column == wanted)
    if query.final:
        conditions.append(_IS_FINAL)
    return conditions


def _page(matching: Sequence[ColumnElement[bool]], columns: _Columns, query: Query) -> Select[*tuple[Any, ...]]:
    c = results.c
    fields = (c.run_key, c.finished_at, c.agent, c.session_id, c.test, c.status, c.scale, c.seed)
    sort = query.sort or columns.primary_metric or "timestamp"
    name = sort.removeprefix("-")
    if name not in columns.all:
        raise UnknownColumn(name, columns.all)
    source, key = _JOINED, _SORT_KEYS.get(name)
    if name not in FIXED_COLUMNS:
        value = result_values.c
        kind = _METRIC if name in columns.metrics else _ELAPSED
        of_row = and_(value.run_key == c.run_key, value.kind == kind, value.name == name)
        source, key = _JOINED.outerjoin(result_values, of_row), value.value
    order: list[ColumnElement[Any]] = [c.finished_at, c.run_key]  # ties: oldest first, the same on every page
    if key is not None:  # None for `score`, which no row has
        order = [key.is_(None), key.desc() if sort.startswith("-") else key.asc(), *order]
    statement = select(*fields, _IS_FINAL.label("is_final")).select_from(source).where(*matching).order_by(*order)
    return statement.limit(query.limit).offset(query.offset)


def _fixed_cells(row: Row[*tuple[Any, ...]]) -> dict[str, Cell]:
    return {
        "timestamp": iso(row.finished_at),
        "agent": row.agent,
        "session_id": row.session_id,
        "test": row.test,
        "is_final": row.is_final,
        "status": row.status,
        "scale": row.scale,
        "seed": row.seed,
        "score": None,
    }


def _values(connection: Connection, run_keys: Sequence[str]) -> list[Row[*tuple[Any, ...]]]:
    c = result_values.c
    # Metrics last, so that they win the cell should an elapsed time carry a metric's name.
    statement = select(c.run_key, c.kind, c.name, c.value).order_by(c.kind, c.position)
    found: list[Row[*tuple[Any, ...]]] = []
    for start in range(0, len(run_keys), _VALUES_AT_ONCE):
        chunk = run_keys[start : start + _VALUES_AT_ONCE]
        found += connection.execute(statement.where(c.run_key.in_(chunk))).all()
    return found


def _insert_new(connection: Connection, table: SqlTable, row: Mapping[str, Any]) -> bool:
    """Insert a row unless its key is taken, also by a transaction at the same time. True if it was inserted."""
    statement = _insert_or_skip(connection.dialect.name, table, row)
    return connection.execute(statement.execution_options(preserve_rowcount=True)).rowcount == 1


def _insert_or_skip(dialect: str, table: SqlTable, row: Mapping[str, Any]) -> Insert:
    # Imported here: a service on SQLite does without all that PostgreSQL's dialect brings along.
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table).values(row).on_conflict_do_nothing()
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table).values(row).on_conflict_do_nothing()


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
