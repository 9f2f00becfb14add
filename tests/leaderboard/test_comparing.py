"""Which rows of a database an entry is made of, and what is said of many submissions on one board."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection

from leaderboard import reading
from leaderboard.choosing import known_boards
from leaderboard.comparing import board_entries, comparison_of
from leaderboard.table import TableQuery
from leaderboard.writing import UnknownRun, submit

LOSS = "val_loss_gpt-345m"
SIGMA = 0.02
Add = Callable[..., Any]


@pytest.fixture
def play(add: Add) -> Add:
    """`play("ann", [2.1, 2.2], seeds=[42, 43])`: a session for each value, all of one code."""

    def play(agent: str, values: list[float], seeds: list[int] | None = None, **more: Any) -> list[str]:
        keys = []
        for place, value in enumerate(values):
            seed = (seeds or range(42, 42 + len(values)))[place]
            fields = {"agent": agent, "seed": seed, "metrics": {LOSS: value}, "code": {"a": agent}} | more
            keys.append(add(1, session_id=f"{agent}{seed}{len(more)}", **fields).run_key)
        return keys

    return play


def test_a_board_is_of_one_task_at_one_scale(connection: Connection, play: Add) -> None:
    ann, *_ = play("ann", [2.0])
    play("ann", [1.0], task_id="other", code={"a": "ann"})
    play("ann", [1.0], scale="smoke", metrics={"val_loss_gpt-smoke": 1.0}, code={"a": "ann"})
    play("baseline:b", [2.1, 2.2])
    found = comparison_of(connection, ann)
    assert found is not None
    assert (found.entry.values, found.baseline.values, found.baseline.name) == ((2.0,), (2.1, 2.2), "b")
    [own] = [one.board for one in known_boards(connection, "task") if one.board.scale == "gpt-345m"]
    board = board_entries(connection, own.id)
    assert [one.name for one in board.baselines] == ["b"]
    assert list(board.by_code.values()) == board.baselines
    assert board.noise is not None
    assert board.noise.df == 1


def test_how_many_tests_a_value_was_chosen_from(connection: Connection, add: Add) -> None:
    for test in (1, 2):
        add(test, session_id="a", metrics={LOSS: 2.0 + test}, code={"a": str(test)}, submit=test == 1)
    add(3, session_id="a", status="cancelled", metrics={}, code={"a": "3"})
    add(1, session_id="b", agent="baseline:b", metrics={LOSS: 2.5}, code={"b": ""})
    found = comparison_of(connection, "a-1")
    assert found is not None
    assert (found.entry.chosen_from, found.entry.values) == (3, (3.0,))
    add(1, session_id="c", metrics={LOSS: 3.2}, seed=43, code={"a": "1"}, confirms="a-1")
    found = comparison_of(connection, "a-1")
    assert found is not None
    assert (found.entry.chosen_from, found.entry.values, found.entry.set_aside) == (1, (3.2,), 1)


def test_a_result_that_did_not_succeed_is_not_compared(connection: Connection, add: Add, play: Add) -> None:
    play("baseline:b", [2.1, 2.2])
    play("ann", [2.0])
    add(2, session_id="x", agent="ann", status="failed", seed=50, code={"a": "ann"})
    assert comparison_of(connection, "x-2") is None
    assert comparison_of(connection, "nobody") is None
    table = reading.rows(connection, "task", TableQuery(final=False))
    cells = {row["run_key"]: (row["entry_n"], row["verdict"]) for row in table.rows}
    assert cells["x-2"] == (None, None)
    assert cells["ann420-1"] == (1, "not told apart")


def test_a_confirmation_is_marked_and_cannot_be_submitted(connection: Connection, add: Add, play: Add) -> None:
    (ann,) = play("ann", [2.0])
    again = add(1, session_id="again", seed=43, code={"a": "ann"}, confirms=ann)
    recorded = reading.entry(connection, again.run_key)
    assert recorded is not None
    assert (recorded.result.confirms, recorded.duplicate_of, recorded.session_over) == (ann, None, True)
    with pytest.raises(UnknownRun):
        submit(connection, "again", again.run_key, again.finished_at)


def test_of_two_hundred_submissions_that_change_nothing_hardly_one_is_called_better(
    connection: Connection, add: Add, play: Add
) -> None:
    """All on one board; each agent submits the best of its three tests."""
    chance = random.Random(20261103)
    for name in "abcd":
        play(f"baseline:{name}", [chance.gauss(2.0, SIGMA) for _ in range(5)])
    chosen = []
    for number in range(200):
        values = [chance.gauss(2.0, SIGMA) for _ in range(3)]
        for test, value in enumerate(values, 1):
            add(test, session_id=f"s{number}", metrics={LOSS: value}, code={"a": f"{number} {test}"})
        chosen.append((number, 1 + values.index(min(values))))
    words = Counter(found.verdict for n, test in chosen if (found := comparison_of(connection, f"s{n}-{test}")))
    assert words.total() == 200
    assert words["better"] <= 10
    # And after each has been confirmed at three seeds.
    for number, test in chosen:
        for seed in (43, 44, 45):
            key = f"s{number}-{test}"
            fields = {"seed": seed, "confirms": key, "code": {"a": f"{number} {test}"}}
            add(1, session_id=f"c{number}{seed}", metrics={LOSS: chance.gauss(2.0, SIGMA)}, **fields)
    words = Counter(found.verdict for n, test in chosen if (found := comparison_of(connection, f"s{n}-{test}")))
    assert words["better"] <= 10
