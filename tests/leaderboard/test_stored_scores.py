"""Scores in the table: given when results are recorded, given later when anchors become known, sorted by."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from sqlalchemy import Connection

from leaderboard import reading, stored_scores, writing
from leaderboard.board import data_key
from leaderboard.choosing import known_boards
from leaderboard.model import RESULT_STATUSES, Result
from leaderboard.naming import COST_NOT_MEASURED, NOT_SUBQUADRATIC
from leaderboard.score_formula import Anchor, ScoreFormula
from leaderboard.table import TableQuery

Add = Callable[..., Result]
LOSS = "val_loss_gpt-345m"
DATA = {"training": {"smoke/train": "a" * 64}, "held_out": {"smoke/heldout": "b" * 64}, "reserve": {}}
"""As results of these tests have it."""
OTHER_DATA = {**DATA, "held_out": {"smoke/heldout": "c" * 64}}


def anchored(ref: float = 2.3, **fields: str) -> ScoreFormula:
    return ScoreFormula(
        **{"task_version": "v1", "scale": "gpt-345m", "data": data_key(DATA) or "", **fields},
        anchors=(Anchor(metric=LOSS, stage="gpt-345m", floor=2.5, ref=ref, bound=0.0, noise=0.01),),
    )


def scores(connection: Connection, sort: str | None = "timestamp") -> list[tuple[int, float | None]]:
    """Of every board, the first board's first."""
    boards = sorted(known_boards(connection, "task"), key=lambda one: one.board.task_version + one.board.scale)
    queries = [TableQuery(board=one.board.id, final=False, sort=sort) for one in boards]
    rows = [row for query in queries for row in reading.rows(connection, "task", query).rows]
    return [(row["test"], row["score"] and round(row["score"], 3)) for row in rows]  # type: ignore[misc, call-overload, arg-type]


def test_results_recorded_after_their_anchors_are_scored(connection: Connection, add: Add) -> None:
    assert stored_scores.adopt(connection, anchored())
    add(1, metrics={LOSS: 2.3})
    add(2, metrics={LOSS: 2.5})
    add(3, metrics={LOSS: math.nan})
    add(4, metrics={}, status="failed")
    add(5, metrics={LOSS: 2.3}, task_version="v2")
    add(6, metrics={LOSS: 2.3}, scale="smoke")
    assert scores(connection) == [(1, 0.5), (2, 0.0), (3, None), (4, None), (6, None), (5, None)]


def test_results_recorded_before_are_scored_when_anchors_become_known(connection: Connection, add: Add) -> None:
    add(1, metrics={LOSS: 2.3})
    add(2, metrics={LOSS: 2.5})
    assert scores(connection) == [(1, None), (2, None)]
    assert stored_scores.adopt(connection, anchored())
    assert scores(connection) == [(1, 0.5), (2, 0.0)]


def test_what_misses_its_tasks_question_is_never_scored(connection: Connection, add: Add) -> None:
    add(1, metrics={LOSS: 2.3}, unmet=NOT_SUBQUADRATIC)
    stored_scores.adopt(connection, anchored())
    add(2, metrics={LOSS: 2.3}, unmet=COST_NOT_MEASURED)
    add(3, metrics={LOSS: 2.3})
    assert scores(connection) == [(1, None), (2, None), (3, 0.5)]


def test_results_on_other_data_are_scored_by_anchors_of_their_own(connection: Connection, add: Add) -> None:
    other = data_key(OTHER_DATA)
    assert other is not None
    add(1, metrics={LOSS: 2.3}, record={"data": OTHER_DATA})
    stored_scores.adopt(connection, anchored())
    add(2, metrics={LOSS: 2.3}, record={"data": OTHER_DATA})
    add(3, metrics={LOSS: 2.3}, record={"data": {**DATA, "training": {"smoke/train": None}}})
    add(4, metrics={LOSS: 2.3}, record={})
    assert sorted(scores(connection)) == [(1, None), (2, None), (3, None), (4, None)]
    stored_scores.adopt(connection, anchored(ref=2.4, data=other))
    add(5, metrics={LOSS: 2.4}, record={"data": OTHER_DATA})
    add(6, metrics={LOSS: 2.3})
    assert [score for _, score in sorted(scores(connection))[2:]] == [None, None, 0.5, 0.5]
    expected = anchored(ref=2.4).score({LOSS: 2.3})
    assert expected is not None
    assert [score for _, score in sorted(scores(connection))[:2]] == [round(expected, 3)] * 2


def test_anchors_that_name_no_data_score_nothing_new(connection: Connection, add: Add) -> None:
    """As they are in a database from before anchors named their data."""
    stored_scores.adopt(connection, anchored(data=""))
    add(1, metrics={LOSS: 2.3})
    assert scores(connection) == [(1, None)]


@pytest.mark.parametrize("status", sorted(set(RESULT_STATUSES) - {"succeeded"}))
def test_what_did_not_succeed_has_no_score(connection: Connection, add: Add, status: str) -> None:
    add(1, metrics={LOSS: 2.3}, status=status)
    stored_scores.adopt(connection, anchored())
    add(2, metrics={LOSS: 2.3}, status=status)
    assert scores(connection) == [(1, None), (2, None)]


def test_other_anchors_of_the_same_version_score_everything_again(connection: Connection, add: Add) -> None:
    stored_scores.adopt(connection, anchored())
    add(1, metrics={LOSS: 2.4})
    [(_, before)] = scores(connection)
    assert stored_scores.adopt(connection, anchored()) is False
    assert scores(connection) == [(1, before)]
    assert stored_scores.adopt(connection, anchored(ref=2.4)) is True
    assert scores(connection) == [(1, 0.5)]
    assert before is not None
    assert before < 0.5


def test_a_new_version_of_the_task_leaves_the_old_ones_scores(connection: Connection, add: Add) -> None:
    stored_scores.adopt(connection, anchored())
    add(1, metrics={LOSS: 2.3})
    stored_scores.adopt(connection, anchored(ref=2.0, task_version="v2"))
    add(2, metrics={LOSS: 2.3})
    add(3, metrics={LOSS: 2.0}, task_version="v2")
    assert scores(connection) == [(1, 0.5), (2, 0.5), (3, 0.5)]


def test_tables_sort_by_score_with_the_unscored_last(connection: Connection, add: Add) -> None:
    stored_scores.adopt(connection, anchored())
    for test, loss in ((1, 2.4), (2, 2.2), (3, None), (4, 2.3)):
        add(test, metrics={} if loss is None else {LOSS: loss})
    assert [test for test, _ in scores(connection, "-score")] == [2, 4, 1, 3]
    assert [test for test, _ in scores(connection, "score")] == [1, 4, 2, 3]
    assert [test for test, _ in scores(connection, "-delta_noise")] == [2, 4, 1, 3]


def test_a_result_tells_its_score_apart_from_its_metrics(connection: Connection, add: Add) -> None:
    stored_scores.adopt(connection, anchored())
    result = add(1, metrics={LOSS: 2.28})
    entry = reading.entry(connection, result.run_key)
    assert entry is not None
    assert entry.result == result
    assert entry.score is not None
    assert entry.score > 0.5
    assert entry.delta_noise == pytest.approx(2.0)


def test_scores_are_no_columns_of_the_task(connection: Connection, add: Add) -> None:
    stored_scores.adopt(connection, anchored())
    add(1, metrics={LOSS: 2.28})
    table = reading.rows(connection, "task", TableQuery(final=False))
    assert table.metric_columns == (LOSS,)
    assert table.columns.count("score") == table.columns.count("delta_noise") == 1


def test_a_repeated_recording_scores_once(connection: Connection, make_result: Add) -> None:
    stored_scores.adopt(connection, anchored())
    for _ in range(2):
        writing.record(connection, make_result(1, metrics={LOSS: 2.3}))
    assert scores(connection) == [(1, 0.5)]
