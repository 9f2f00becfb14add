"""What the home page says of a task: how much was tried, who is best, which baselines there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection

from leaderboard.comparing import board_entries
from leaderboard.model import RESULT_STATUSES
from leaderboard.naming import NOT_SUBQUADRATIC
from leaderboard.overview import MAX_BASELINES, baselines, best_of_session, overviews

LOSS = "val_loss_gpt-345m"


def test_each_scale_of_a_task_is_counted_apart(connection: Connection, add: Callable[..., Any]) -> None:
    add(1)
    add(2)
    add(1, session_id="t")
    add(1, session_id="u", scale="smoke", metrics={"val_loss_gpt-smoke": 3.1})
    found = overviews(connection)
    seen = {(one.board.task_id, one.board.scale): (one.tests, one.sessions, one.metric) for one in found}
    assert seen == {("task", "gpt-345m"): (3, 2, LOSS), ("task", "smoke"): (1, 1, "val_loss_gpt-smoke")}


def test_the_best_is_the_lowest_submitted_loss_of_an_agent(connection: Connection, add: Callable[..., Any]) -> None:
    add(1, session_id="a", agent="unsubmitted", metrics={LOSS: 1.0})
    add(1, session_id="b", agent="diverged", metrics={LOSS: float("nan")}, submit=True)
    add(1, session_id="c", agent="baseline:x", metrics={LOSS: 1.5}, code={"a": "x"}, submit=True)
    add(1, session_id="d", agent="second", metrics={LOSS: 2.2}, submit=True)
    add(1, session_id="e", agent="first", metrics={LOSS: 2.1}, submit=True)
    (one,) = overviews(connection)
    assert one.best is not None
    assert (one.best.agent, one.best.value, one.best.session_id) == ("first", 2.1, "e")


def test_only_what_succeeded_can_be_anybodys_best(connection: Connection, add: Callable[..., Any]) -> None:
    for number, status in enumerate(set(RESULT_STATUSES) - {"succeeded"}):
        add(1, session_id=f"a{number}", agent=status, status=status, metrics={LOSS: 0.1}, submit=True)
        add(1, session_id=f"b{number}", agent="baseline:x", status=status, metrics={LOSS: 0.2}, code={"a": "x"})
    add(1, session_id="y", agent="honest", metrics={LOSS: 2.2}, submit=True)
    add(1, session_id="z", agent="baseline:x", metrics={LOSS: 2.4}, code={"a": "x"})
    (one,) = overviews(connection)
    assert one.best is not None
    assert one.baseline is not None
    assert (one.best.agent, one.best.value, one.baseline.value) == ("honest", 2.2, 2.4)


def test_what_lacks_something_its_task_asks_for_is_nobodys_best(
    connection: Connection, add: Callable[..., Any]
) -> None:
    add(1, session_id="a", agent="quadratic", metrics={LOSS: 1.0}, unmet=NOT_SUBQUADRATIC, submit=True)
    add(1, session_id="b", agent="baseline:template", metrics={LOSS: 1.1}, unmet=NOT_SUBQUADRATIC)
    (one,) = overviews(connection)
    assert (one.best, one.baseline) == (None, None)
    add(1, session_id="c", agent="honest", metrics={LOSS: 2.2}, code={"a": "honest"}, submit=True)
    add(1, session_id="d", agent="baseline:x", metrics={LOSS: 2.4}, code={"a": "x"})
    (one,) = overviews(connection)
    assert one.best is not None
    assert one.baseline is not None
    assert (one.best.agent, one.baseline.agent) == ("honest", "baseline:x")
    add(2, session_id="e", metrics={LOSS: 1.0}, unmet=NOT_SUBQUADRATIC)
    add(3, session_id="e", metrics={LOSS: 3.0}, compute=9.0)
    assert best_of_session(connection, "e") == 3


def test_the_best_of_a_session_is_the_one_that_ranks_first(connection: Connection, add: Callable[..., Any]) -> None:
    assert best_of_session(connection, "s") is None
    add(1, status="cancelled", metrics={LOSS: 0.1})
    assert best_of_session(connection, "s") is None
    add(2, metrics={LOSS: 2.4})
    add(3, metrics={LOSS: 2.1}, compute=3.0)
    assert best_of_session(connection, "s") == 2
    add(4, metrics={LOSS: 2.3}, compute=1.0)
    add(5, metrics={LOSS: float("nan")})
    add(1, session_id="t", metrics={LOSS: 1.0})
    assert best_of_session(connection, "s") == 4
    add(1, session_id="u", metrics={}, task_id="unranked")
    add(2, session_id="u", metrics={}, task_id="unranked")
    assert best_of_session(connection, "u") == 2


def test_baselines_count_without_a_submission_and_each_by_its_mean(
    connection: Connection, add: Callable[..., Any]
) -> None:
    for number, (agent, loss) in enumerate([("baseline:x", 2.5), ("baseline:x", 2.3), ("baseline:y", 2.35)]):
        add(1, session_id=f"s{number}", agent=agent, seed=number, metrics={LOSS: loss}, code={"a": agent})
    add(1, session_id="z", agent="baselines-are-mine", metrics={LOSS: 0.1})
    (one,) = overviews(connection)
    found = baselines(board_entries(connection, one.board.id))
    assert [(one.agent, one.value) for one in found] == [("baseline:y", 2.35), ("baseline:x", pytest.approx(2.4))]
    assert one.baseline == found[0]
    assert one.best is None


def test_only_so_many_baselines_are_named(connection: Connection, add: Callable[..., Any]) -> None:
    for number in range(MAX_BASELINES + 3):
        loss, code = 2 + number / 100, {"a": str(number)}
        add(1, session_id=f"s{number}", agent=f"baseline:{number}", metrics={LOSS: loss}, code=code)
    (one,) = overviews(connection)
    assert len(baselines(board_entries(connection, one.board.id))) == MAX_BASELINES


def test_a_task_without_measurements_has_no_best(connection: Connection, add: Callable[..., Any]) -> None:
    add(1, status="failed", metrics={}, elapsed={}, submit=True)
    (one,) = overviews(connection)
    assert (one.tests, one.metric, one.best, one.baseline) == (1, None, None, None)
