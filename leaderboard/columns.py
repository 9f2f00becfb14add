"""Which columns a table has: those of every row, then the metrics and times that its board's results brought along."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Select, select

from leaderboard.naming import ranking_column
from leaderboard.table import COMPARED_COLUMNS, FIXED_COLUMNS
from leaderboard.tables import board_columns

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


def columns_at(connection: Connection, board: str) -> Columns:
    """The columns of a board, by its id."""
    found = connection.execute(columns_of(board)).all()
    metrics, elapsed = (
        tuple(dict.fromkeys(row.name for row in found if row.kind == kind)) for kind in (METRIC, ELAPSED)
    )
    return Columns(metrics, elapsed)


def columns_of(board: str) -> Select[str, str]:
    """The statement that reads the kinds and names of a board's columns, in order."""
    c = board_columns.c
    return select(c.kind, c.name).where(c.board == board).order_by(c.position, c.name)
