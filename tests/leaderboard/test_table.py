from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from leaderboard import reading
from leaderboard.model import Result
from leaderboard.naming import COST_NOT_MEASURED, NOT_SUBQUADRATIC
from leaderboard.table import FIXED_COLUMNS, MAX_LIMIT, MAX_OFFSET, BadPage, TableQuery, UnknownColumn

Add = Callable[..., Result]
LOSS = "val_loss_gpt-345m"
START = datetime(2026, 11, 3, tzinfo=UTC)
LATER = START + timedelta(hours=20)


def numbers(connection: Connection, **query: Any) -> list[object]:
    """The test numbers a query answers, in order."""
    query.setdefault("final", False)
    return [row["test"] for row in reading.rows(connection, "task", TableQuery(**query)).rows]


def test_a_table_as_json(connection: Connection, add: Add) -> None:
    add(
        1,
        submit=True,
        parameters=354_871_296,
        template_unmodified=True,
        compute=1.02,
        certified=2.31,
        certified_error=0.004,
    )
    add(2, session_id="t", status="failed", seed=None, metrics={}, elapsed={"elapsed_gpt-345m": 3.5})
    table = reading.rows(connection, "task", TableQuery(final=False))
    assert table.board is not None
    origin = {
        "board": table.board.id,
        "task_version": "v1",
        "runner_class": "unknown",
        **dict.fromkeys(("runner", "image", "reserve_data")),
        "training_data": "a" * 64,
        "heldout_data": "b" * 64,
    }
    assert json.loads(json.dumps(asdict(table))) == {
        "task_id": "task",
        "board": {
            "task_id": "task",
            "task_version": "v1",
            "scale": "gpt-345m",
            "data": table.board.data,
            "runner_class": "unknown",
        },
        "columns": [
            *("timestamp", "agent", "session_id", "test", "is_final", "status", "scale", "seed", "score"),
            *("delta_noise", "run_key", "parameters", "template_unmodified", "duplicate_of", "auto_submitted"),
            "compute",
            "certified",
            "certified_error",
            "unmet",
            *("board", "task_version", "runner_class", "runner", "image"),
            *("training_data", "heldout_data", "reserve_data"),
            "confirms",
            *("entry_n", "entry_mean", "entry_sd", "delta", "delta_error", "delta_p", "verdict"),
            *("val_loss_gpt-345m", "lambada_ppl_gpt-345m", "elapsed_gpt-345m"),
        ],
        "metric_columns": ["val_loss_gpt-345m", "lambada_ppl_gpt-345m"],
        "rows": [
            {
                "timestamp": "2026-11-03T12:00:01.000Z",
                "agent": "agent",
                "session_id": "s",
                "test": 1,
                "is_final": True,
                "status": "succeeded",
                "scale": "gpt-345m",
                "seed": 42,
                "score": None,
                "delta_noise": None,
                "run_key": "s-1",
                "parameters": 354_871_296,
                "template_unmodified": True,
                "duplicate_of": None,
                "auto_submitted": False,
                "compute": 1.02,
                "certified": 2.31,
                "certified_error": 0.004,
                "unmet": None,
                **origin,
                "confirms": None,
                "entry_n": 1,
                "entry_mean": 2.3,
                "entry_sd": None,
                "delta": 0.0,
                "delta_error": None,
                "delta_p": None,
                "verdict": "not told apart",
                "val_loss_gpt-345m": 2.3,
                "lambada_ppl_gpt-345m": 69.34,
                "elapsed_gpt-345m": 20548.0,
            },
            {
                "timestamp": "2026-11-03T12:00:02.000Z",
                "agent": "agent",
                "session_id": "t",
                "test": 2,
                "is_final": False,
                "status": "failed",
                "scale": "gpt-345m",
                "seed": None,
                "score": None,
                "delta_noise": None,
                "run_key": "t-2",
                "parameters": None,
                "template_unmodified": False,
                "duplicate_of": "s-1",
                "auto_submitted": False,
                "compute": None,
                "certified": None,
                "certified_error": None,
                "unmet": None,
                **origin,
                "confirms": None,
                **dict.fromkeys(("entry_n", "entry_mean", "entry_sd", "delta", "delta_error", "delta_p", "verdict")),
                "val_loss_gpt-345m": None,
                "lambada_ppl_gpt-345m": None,
                "elapsed_gpt-345m": 3.5,
            },
        ],
        "total": 2,
        "limit": 100,
        "offset": 0,
    }


def test_a_task_nobody_ran_has_an_empty_table(connection: Connection) -> None:
    table = reading.rows(connection, "nothing", TableQuery())
    assert (table.rows, table.total, table.metric_columns) == ((), 0, ())


def test_rows_follow_the_order_of_the_columns(connection: Connection, add: Add) -> None:
    add(1, submit=True)
    table = reading.rows(connection, "task", TableQuery())
    assert [tuple(row) for row in table.rows] == [table.columns]


def test_tables_of_tasks_are_apart(connection: Connection, add: Add) -> None:
    add(1, task_id="other", metrics={"other_x": 1.0})
    add(1, session_id="t")
    table = reading.rows(connection, "task", TableQuery(final=False))
    assert [row["session_id"] for row in table.rows] == ["t"]
    assert "other_x" not in table.columns


def test_only_submitted_rows_are_listed_unless_asked(connection: Connection, add: Add) -> None:
    add(1)
    add(2, submit=True)
    assert numbers(connection, final=True) == [2]
    assert reading.rows(connection, "task", TableQuery()).total == 1
    assert numbers(connection) == [1, 2]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"scale": "smoke"}, [2, 3]),
        ({"status": "diverged"}, [3]),
        ({"agent": "b"}, [2]),
        ({"scale": "gpt-345m", "status": "diverged"}, [4]),
        ({"agent": "b", "status": "diverged", "scale": "gpt-345m"}, [4]),
        ({"agent": "B"}, []),
    ],
)
def test_filters(connection: Connection, add: Add, query: dict[str, str], expected: list[int]) -> None:
    add(1, agent="a", scale="gpt-345m", metrics={}, finished_at=START)
    add(2, agent="b", scale="smoke", metrics={}, finished_at=LATER)
    add(3, agent="a", scale="smoke", status="diverged", metrics={})
    add(4, agent="b", scale="gpt-345m", status="diverged", metrics={})
    assert numbers(connection, sort="test", **query) == expected
    assert reading.rows(connection, "task", TableQuery(final=False, **query)).total == len(expected)  # type: ignore[arg-type]


def test_a_scale_shows_only_its_own_columns(connection: Connection, add: Add) -> None:
    add(1)
    add(2, scale="smoke", metrics={"val_loss_gpt-smoke": 2.5}, elapsed={})
    assert reading.rows(connection, "task", TableQuery(scale="smoke")).columns[len(FIXED_COLUMNS) :] == (
        "val_loss_gpt-smoke",
    )
    assert len(reading.rows(connection, "task", TableQuery(scale="gpt-345m")).columns[len(FIXED_COLUMNS) :]) == 3


def test_best_first_by_default_and_the_oldest_of_equals(connection: Connection, add: Add) -> None:
    for test, loss in enumerate((2.5, 2.25, math.nan, 2.25, 10.0), 1):
        add(test, metrics={"accuracy_gpt-345m": 1.0, LOSS: loss})
    assert numbers(connection) == [2, 4, 1, 5, 3]


def test_without_a_loss_the_oldest_comes_first(connection: Connection, add: Add) -> None:
    for test, accuracy in ((3, 0.1), (1, 0.3), (2, 0.2)):
        add(test, metrics={"accuracy_x": accuracy})
    assert numbers(connection) == [1, 2, 3]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        (LOSS, [3, 1, 2, 4]),
        ("-" + LOSS, [1, 3, 2, 4]),
        ("elapsed_gpt-345m", [4, 1, 2, 3]),
        ("-elapsed_gpt-345m", [1, 4, 2, 3]),
        ("seed", [2, 4, 1, 3]),
        ("-seed", [4, 2, 1, 3]),
        ("timestamp", [1, 2, 3, 4]),
        ("-timestamp", [4, 3, 2, 1]),
        ("-agent", [4, 3, 2, 1]),
        ("is_final", [1, 2, 4, 3]),
        ("-is_final", [3, 1, 2, 4]),
        ("status", [4, 1, 2, 3]),
        ("session_id", [1, 2, 3, 4]),
        ("-test", [4, 3, 2, 1]),
        ("scale", [1, 2, 3, 4]),
        ("score", [1, 2, 3, 4]),
        ("-score", [1, 2, 3, 4]),
        ("-run_key", [4, 3, 2, 1]),
        ("parameters", [3, 1, 2, 4]),
        ("-parameters", [1, 3, 2, 4]),
        ("template_unmodified", [1, 3, 4, 2]),
        ("-template_unmodified", [2, 1, 3, 4]),
        ("duplicate_of", [3, 4, 1, 2]),
        ("auto_submitted", [1, 2, 3, 4]),
    ],
)
def test_sorting_by_any_column_with_empty_cells_last(
    connection: Connection, add: Add, sort: str, expected: list[int]
) -> None:
    unmodified = {"template_unmodified": True, "code": {"a": "template"}}
    add(1, agent="a", seed=None, metrics={LOSS: 3.0}, elapsed={"elapsed_gpt-345m": 9.0}, parameters=200)
    add(2, agent="b", seed=1, metrics={LOSS: math.nan}, elapsed={}, **unmodified)
    add(3, agent="c", seed=None, metrics={LOSS: -1.5}, elapsed={}, submit=True, parameters=100)
    add(4, agent="d", seed=10, metrics={}, elapsed={"elapsed_gpt-345m": 5.0}, status="failed")
    assert numbers(connection, sort=sort) == expected


@pytest.mark.parametrize("name", ["code", "", "-", "agent; DROP TABLE results", "val_loss_gpt-smoke", "TEST", "--test"])
def test_sorting_by_what_is_no_column_names_those_there_are(connection: Connection, add: Add, name: str) -> None:
    add(1)
    if name == "":
        assert numbers(connection, sort=name) == [1]
        return
    with pytest.raises(UnknownColumn) as refusal:
        reading.rows(connection, "task", TableQuery(sort=name))
    assert refusal.value.column == name.removeprefix("-")
    assert refusal.value.columns[-1] == "elapsed_gpt-345m"
    assert ", ".join(refusal.value.columns) in str(refusal.value)


def test_pages_join_up_to_the_whole_table(connection: Connection, add: Add) -> None:
    for test in range(1, 24):
        add(test, metrics={LOSS: test % 3} if test % 4 else {})
    whole = reading.rows(connection, "task", TableQuery(final=False, limit=None))
    queries = [TableQuery(final=False, limit=5, offset=start) for start in range(0, 30, 5)]
    pages = [reading.rows(connection, "task", query) for query in queries]
    assert [len(page.rows) for page in pages] == [5, 5, 5, 5, 3, 0]
    assert [row for page in pages for row in page.rows] == list(whole.rows)
    assert {page.total for page in pages} == {whole.total} == {23}
    assert {page.columns for page in pages} == {whole.columns}
    assert (pages[1].limit, pages[1].offset) == (5, 5)


def test_more_rows_than_one_statement_can_name(connection: Connection, add: Add) -> None:
    for test in range(1, 1203):
        add(test, metrics={LOSS: test}, elapsed={})
    rows = reading.rows(connection, "task", TableQuery(final=False, limit=None)).rows
    assert [row[LOSS] for row in rows] == list(range(1, 1203))


@pytest.mark.parametrize(
    ("field", "value"), [("limit", 0), ("limit", -1), ("limit", MAX_LIMIT + 1), ("offset", -1), ("offset", 2**64)]
)
def test_a_page_out_of_range_is_refused(field: str, value: int) -> None:
    with pytest.raises(BadPage) as refusal:
        TableQuery(**{field: value})  # type: ignore[arg-type]
    assert (refusal.value.field, refusal.value.value) == (field, value)
    assert str(refusal.value.highest) in str(refusal.value)


def test_the_widest_page_is_answered(connection: Connection) -> None:
    assert reading.rows(connection, "task", TableQuery(limit=MAX_LIMIT, offset=MAX_OFFSET)).rows == ()


def test_a_time_under_a_metrics_name_does_not_displace_it(connection: Connection, add: Add) -> None:
    add(1, metrics={"x": 1.0, "agent": 2.0}, elapsed={"x": 3.0})
    table = reading.rows(connection, "task", TableQuery(final=False))
    assert (table.rows[0]["x"], table.rows[0]["agent"]) == (1.0, "agent")
    assert len(set(table.columns)) == len(table.columns)


def test_what_took_more_compute_ranks_after_what_did_not_and_what_failed_last_on_every_page(
    connection: Connection, add: Add
) -> None:
    add(1, metrics={LOSS: 2.0}, compute=1.26)
    add(2, metrics={LOSS: 2.4}, compute=1.25)
    add(3, metrics={LOSS: 2.5})
    add(4, metrics={}, status="failed")
    add(5, metrics={LOSS: 2.3}, compute=0.9)
    add(6, metrics={LOSS: 1.9}, compute=14.0)
    add(7, metrics={LOSS: 1.1}, status="cancelled")
    ranked = [5, 2, 3, 6, 1, 7, 4]
    assert numbers(connection) == ranked
    for size in (1, 2, 4, 5):
        assert [n for at in range(0, 7, size) for n in numbers(connection, limit=size, offset=at)] == ranked
    assert numbers(connection, sort=LOSS) == [6, 1, 5, 2, 3, 7, 4]
    assert numbers(connection, sort=f"-{LOSS}") == [3, 2, 5, 1, 6, 7, 4]
    assert numbers(connection, sort="-compute")[:3] == [6, 1, 2]


def test_what_lacks_something_its_task_asks_for_ranks_after_all_that_answer_it(
    connection: Connection, add: Add
) -> None:
    add(1, metrics={LOSS: 1.0}, unmet=NOT_SUBQUADRATIC)
    add(2, metrics={LOSS: 2.4})
    add(3, metrics={LOSS: 2.0}, compute=3.0)
    add(4, metrics={LOSS: 0.9}, compute=3.0, unmet=COST_NOT_MEASURED)
    add(5, metrics={}, status="failed")
    ranked = [2, 3, 4, 1, 5]
    assert numbers(connection) == ranked
    assert [n for at in range(5) for n in numbers(connection, limit=1, offset=at)] == ranked
    assert numbers(connection, sort="unmet")[:2] == [4, 1]
