"""Which board is shown where none is named, and which of a session's results are compared."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from leaderboard.board import BoardKey, RunnerClass
from leaderboard.choosing import KnownBoard, choose, known_boards
from leaderboard.overview import best_of_session
from leaderboard.table import UnknownBoard

LOSS = "val_loss_gpt-345m"
START = datetime(2026, 11, 3, tzinfo=UTC)


def board(
    runner_class: str = "sandboxed", scale: str = "smoke", version: str = "v2", data: str | None = "d"
) -> BoardKey:
    return BoardKey(task_id="t", task_version=version, scale=scale, data=data, runner_class=RunnerClass(runner_class))


def known(one: BoardKey, hour: int, *, measured: bool = True) -> KnownBoard:
    return KnownBoard(board=one, last=START + timedelta(hours=hour), measured=measured)


SMALL, BIG = board(), board(scale="gpt-345m")
OLD, OTHER = board(version="v1"), board(data="e")
LOCAL, FAKE, LOST = board("local"), board("fake", data=None), board("unknown", data=None)


def test_the_services_own_boards_come_first_and_of_these_the_largest_with_results() -> None:
    here = [SMALL, BIG]
    assert choose([known(SMALL, 1), known(BIG, 0), known(OTHER, 9), known(FAKE, 10)], here) == BIG
    assert choose([known(SMALL, 1), known(OTHER, 9)], here) == SMALL
    assert choose([known(SMALL, 1), known(BIG, 2, measured=False)], here) == SMALL
    assert choose([known(BIG, 2, measured=False), known(OTHER, 9)], here) == BIG
    assert choose([known(SMALL, 1), known(FAKE, 9)], [FAKE]) == FAKE


def test_failing_that_the_latest_of_the_most_trusted_class() -> None:
    others = [known(OLD, 2), known(OTHER, 1), known(LOCAL, 7), known(LOST, 8), known(FAKE, 9)]
    assert choose(others, [SMALL]) == OLD
    assert choose(others, []) == OLD
    assert choose([known(OLD, 2, measured=False), *others[1:]], [SMALL]) == OTHER
    assert choose(others[2:], [SMALL]) == LOCAL
    assert choose(others[3:], [SMALL]) == LOST
    assert choose(others[4:], [SMALL]) == FAKE


def test_without_results_the_first_of_its_own_and_without_a_scale_none() -> None:
    assert choose([], [SMALL, BIG]) == SMALL
    assert choose([], []) is None


def test_a_scale_and_a_board_can_be_named() -> None:
    here = [SMALL, BIG]
    some = [known(OTHER, 1), known(FAKE, 2)]
    assert choose(some, here, scale="gpt-345m") == BIG
    assert choose(some, here, board=FAKE.id) == FAKE
    assert choose(some, here, board=BIG.id) == BIG  # nothing stands on it yet
    assert choose(some, here, scale="another") is None
    for wrong in ({"board": LOCAL.id}, {"board": FAKE.id, "scale": "gpt-345m"}, {"board": ""}):
        with pytest.raises(UnknownBoard):
            choose(some, here, **wrong)


@pytest.mark.parametrize(
    "other",
    [
        board("local"),
        board(scale="gpt-345m"),
        board(version="v1"),
        board(data=None),
        BoardKey(task_id="u", task_version="v2", scale="smoke", data="d", runner_class=RunnerClass.SANDBOXED),
    ],
)
def test_whatever_differs_makes_another_board(other: BoardKey) -> None:
    assert other.id != SMALL.id


@pytest.mark.parametrize(
    ("runner", "expected"),
    [("docker", "sandboxed"), ("local", "local"), ("fake", "fake"), (None, "unknown"), ("somebody's", "unknown")],
)
def test_a_runner_that_nobody_knows_is_trusted_as_one_that_nobody_recorded(runner: str | None, expected: str) -> None:
    assert RunnerClass.of(runner).value == expected


def test_a_session_that_another_runner_went_on_with_is_judged_by_the_more_trusted(
    connection: Connection, add: Callable[..., Any]
) -> None:
    docker, fake = ({"machine": {"runner": name}} for name in ("docker", "fake"))
    add(1, metrics={LOSS: 0.1}, record=fake)
    assert best_of_session(connection, "s") == 1
    add(2, metrics={LOSS: 2.4}, record=docker)
    add(3, metrics={LOSS: 2.3}, record=docker)
    add(4, metrics={LOSS: 0.2}, record=fake)
    assert best_of_session(connection, "s") == 3
    data = {"training": {"a": "1" * 64}, "held_out": {"b": "2" * 64}}
    add(5, metrics={LOSS: 2.9}, record=docker | {"data": data})
    assert best_of_session(connection, "s") == 5  # on the data that the session ended with
    assert len(known_boards(connection, "task")) == 3
