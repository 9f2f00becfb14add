"""The statements that add to a leaderboard. They work inside the caller's transaction and never commit.

Rows are added, never changed. Statements are the same on SQLite and PostgreSQL; the one thing the two spell apart is in
`_insert_or_skip`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Insert, insert, select
from sqlalchemy import Table as SqlTable

from leaderboard.columns import ELAPSED, METRIC, columns_of
from leaderboard.model import Result
from leaderboard.naming import COUNTS
from leaderboard.stored_scores import add_scores, formula_of
from leaderboard.tables import board_columns, boards, result_texts, result_values, results, submissions


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


def record(connection: Connection, result: Result) -> bool:
    """Add a result. Answers False, and changes nothing, if there is one of that run already."""
    board, origin = result.board, result.origin
    known_of = vars(result) | vars(origin) | {"code_sha256": result.code_sha256, "board": board.id}
    known_of["duplicate_of"] = None if result.confirms else _first_of_this_code(connection, result)
    if not _insert_new(connection, results, {column.name: known_of[column.name] for column in results.columns}):
        return False
    _insert_new(connection, boards, vars(board) | {"id": board.id, "runner_class": board.runner_class.value})
    connection.execute(insert(result_texts).values(run_key=result.run_key, record=result.record, code=result.code))
    measured = [
        (kind, position, name, value)
        for kind, values in ((METRIC, result.metrics), (ELAPSED, result.elapsed))
        for position, (name, value) in enumerate(values.items())
    ]
    if not measured:
        return True
    stored = [
        {"run_key": result.run_key, "kind": kind, "name": name, "position": position, "value": _finite(value)}
        for kind, position, name, value in measured
    ]
    connection.execute(insert(result_values), stored)
    known = {(kind, name) for kind, name in connection.execute(columns_of(board.id))}
    for kind, position, name, _ in measured:
        if (kind, name) not in known:
            column = {"kind": kind, "name": name, "position": position}
            _insert_new(connection, board_columns, {"board": board.id, **column})
    scored = result.status == COUNTS and result.unmet is None
    formula = formula_of(connection, result.task_version, result.scale, board.data) if scored else None
    if formula is not None:
        add_scores(connection, formula, {result.run_key: result.metrics})
    return True


def submit(connection: Connection, session_id: str, run_key: str, at: datetime, *, auto: bool = False) -> None:
    """Make a result its session's final one; a repetition changes nothing. Raises UnknownRun, AlreadySubmitted.

    `auto`: it was not the session's own choice.
    """
    c = results.c
    run = select(c.run_key).where(c.run_key == run_key, c.session_id == session_id, c.confirms.is_(None))
    if connection.execute(run).first() is None:
        raise UnknownRun(session_id, run_key)
    row = {"session_id": session_id, "run_key": run_key, "submitted_at": at, "auto_submitted": auto}
    if _insert_new(connection, submissions, row):
        return
    submitted = select(submissions.c.run_key).where(submissions.c.session_id == session_id)
    before = connection.execute(submitted).scalar_one()
    if before != run_key:
        raise AlreadySubmitted(session_id, before, run_key)


def _first_of_this_code(connection: Connection, result: Result) -> str | None:
    c = results.c
    same = (c.code_sha256 == result.code_sha256, c.board == result.board.id)
    first = c.duplicate_of.is_not(None)  # not by time alone: clocks may be set back
    return connection.execute(
        select(c.run_key).where(*same).order_by(first, c.finished_at, c.run_key).limit(1)
    ).scalar()


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
