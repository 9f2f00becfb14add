"""What there is to beat: what baselines reached on a board, and how much of a difference is luck.

Statements only; they work inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from leaderboard.board import BoardKey
from leaderboard.comparing import board_entries
from leaderboard.entries import Entry
from leaderboard.naming import ranking_column
from leaderboard.score_formula import ScoreFormula
from leaderboard.stored_scores import formula_of


@dataclass(frozen=True, kw_only=True)
class ToBeat:
    """What results on one board are compared with."""

    metric: str
    """The column that ranks; lower is better."""
    baselines: Sequence[Entry]
    """Those with results there, best first."""
    noise: float | None
    """Standard deviation of the metric over seeds of one code; None where it is not known."""
    formula: ScoreFormula | None
    """What scores come from; None where results there have none."""


def to_beat(connection: Connection, board: BoardKey) -> ToBeat | None:
    """From the baselines' own results on this board; None where no result of it could be ranked."""
    found = board_entries(connection, board.id)
    formula = formula_of(connection, board.task_version, board.scale, board.data)
    anchors = () if formula is None else formula.anchors
    metric = found.metric or ranking_column(anchor.metric for anchor in anchors)
    if metric is None:
        return None
    return ToBeat(
        metric=metric,
        baselines=found.baselines,
        noise=None if found.noise is None else found.noise.sd,
        formula=formula,
    )
