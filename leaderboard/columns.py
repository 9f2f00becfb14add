"""Which columns a table has: those of every row, then the metrics and times that its task's results brought along."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Select, select

from leaderboard.naming import ranking_column
from leaderboard.table import COMPARED_COLUMNS, FIXED_COLUMNS
from leaderboard.tables import result_columns

METRIC, ELAPSED, SCORE = "metric", "elapsed", "score"
"""The kinds of values that `result_values` stores."""
SCORES = ("score", "delta_noise")
"""Columns of every table that are stored as values."""


@dataclass(frozen=True)
class Columns:
    """A table's columns, by kind and in order."""

    metrics: tuple[str, ...]
    elapsed: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(FIXED_COLUMNS + self.metrics + self.elapsed))

    @property
    def sortable(self) -> tuple[str, ...]:
        """Those that a table can be sorted by."""
        return tuple(name for name in self.all if name not in COMPARED_COLUMNS)

    @property
    def primary_metric(self) -> str | None:
        """The column that results are ranked by, lower being better; None where no column ranks them."""
        return ranking_column(self.metrics)


def columns_at(connection: Connection, task_id: str, scale: str | None) -> Columns:
    """The columns of a task at a scale, or at all of them."""
    found = connection.execute(columns_of(task_id, scale)).all()
    metrics, elapsed = (
        tuple(dict.fromkeys(row.name for row in found if row.kind == kind)) for kind in (METRIC, ELAPSED)
    )
    return Columns(metrics, elapsed)


def columns_of(task_id: str, scale: str | None) -> Select[str, str]:
    """The statement that reads the kinds and names of a task's columns, in order, at a scale or at all of them."""
    c = result_columns.c
    statement = select(c.kind, c.name).where(c.task_id == task_id).order_by(c.scale, c.position, c.name)
    return statement if scale is None else statement.where(c.scale == scale)
