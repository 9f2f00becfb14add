from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta, timezone
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, event, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql import ClauseElement

from leaderboard import choosing, reading, writing
from leaderboard.columns import columns_at
from leaderboard.model import Result
from leaderboard.table import BoardSummary, TableQuery, iso
from leaderboard.tables import board_columns, metadata, results, submissions

Make = Callable[..., Result]
AT = datetime(2026, 11, 3, 13, 0, tzinfo=UTC)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


def stored(connection: Connection, run_key: str) -> Result | None:
    entry = reading.entry(connection, run_key)
    return None if entry is None else entry.result


def test_a_result_comes_back_as_it_was_recorded(connection: Connection, make_result: Make) -> None:
    result = make_result(
        finished_at=datetime(2026, 11, 3, 23, 59, 59, 123456, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        seed=2**40,
        record={"versions": {"torch": "2.13.0"}, "stages": [{"label": "a", "exit": 0}], "docker": None},
        code={"nanoGPT/custom_pretrain.py": "x = '\u2028 é 🎉 \\ud800 \0'\n"},
        parameters=2**33,
        template_unmodified=True,
    )
    assert writing.record(connection, result)
    assert stored(connection, result.run_key) == result
    assert stored(connection, result.run_key).finished_at.tzinfo is UTC  # type: ignore[union-attr]
    assert stored(connection, "another") is None


def test_order_of_metrics_and_times_is_kept(connection: Connection, add: Make) -> None:
    add(metrics={"z_l": 1.0, "a_l": 2.0, "m_l": 3.0}, elapsed={"elapsed_z": 1.0, "elapsed_a": 2.0})
    result = stored(connection, "s-1")
    assert result is not None
    assert list(result.metrics) == ["z_l", "a_l", "m_l"]
    assert list(result.elapsed) == ["elapsed_z", "elapsed_a"]


def test_recording_a_run_again_keeps_the_first(connection: Connection, make_result: Make) -> None:
    first = make_result(metrics={"val_loss_x": 2.0})
    second = make_result(metrics={"val_loss_x": 1.0, "forged_x": 9.0}, agent="other", status="failed")
    assert writing.record(connection, first) is True
    assert writing.record(connection, second) is False
    assert stored(connection, first.run_key) == first
    assert "forged_x" not in reading.rows(connection, "task", TableQuery(final=False)).columns


@pytest.mark.parametrize(
    ("module", "known"), [(reading, {"entry", "every_row", "rows"}), (writing, {"record", "submit"})]
)
def test_there_is_no_way_to_change_or_remove_a_row(module: ModuleType, known: set[str]) -> None:
    functions = inspect.getmembers(module, inspect.isfunction)
    public = {name for name, function in functions if function.__module__ == module.__name__ and name[0] != "_"}
    assert public == known


def test_values_that_are_not_finite_are_null_everywhere(connection: Connection, add: Make) -> None:
    add(
        metrics={"val_loss_x": math.nan, "ppl_x": math.inf, "low_x": -math.inf},
        record={"series": [{"loss": math.nan}, (1.5, math.inf)]},
    )
    result = stored(connection, "s-1")
    assert result is not None
    assert all(math.isnan(value) for value in result.metrics.values())
    assert result.record == {"series": [{"loss": None}, [1.5, None]]}
    [row] = reading.rows(connection, "task", TableQuery(final=False)).rows
    assert (row["val_loss_x"], row["ppl_x"], row["low_x"]) == (None, None, None)


@given(st.dictionaries(NAMES, st.floats()), st.dictionaries(NAMES, st.floats()))
def test_any_metrics_and_times_round_trip(
    engine: Engine, make_result: Make, metrics: dict[str, float], elapsed: dict[str, float]
) -> None:
    result = make_result(metrics=metrics, elapsed=elapsed)
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN")
        assert writing.record(connection, result)
        kept = stored(connection, result.run_key)
        table = reading.rows(connection, "task", TableQuery(final=False))
        connection.rollback()
    assert kept is not None
    for given_values, values in ((metrics, kept.metrics), (elapsed, kept.elapsed)):
        assert list(values) == list(given_values)
        assert all(values[name] == value or not math.isfinite(value) for name, value in given_values.items())
    assert all(set(row) == set(table.columns) for row in table.rows)
    json.dumps(asdict(table), allow_nan=False)


@pytest.mark.parametrize(
    "agent",
    [
        "модель-🎉",
        "'; DROP TABLE results; --",
        "%_\\",
        "<script>x()</script>",
        "a\nb\tc\x1b[31m",
        "",
        "x" * 5000,
    ],
)
def test_any_agent_name_is_only_text(connection: Connection, add: Make, agent: str) -> None:
    add(1, agent=agent)
    add(2, agent="somebody else")
    table = reading.rows(connection, "task", TableQuery(final=False, agent=agent))
    assert [row["agent"] for row in table.rows] == [agent]


def test_submitting_again_changes_nothing(connection: Connection, add: Make) -> None:
    add(1, submit=True)
    writing.submit(connection, "s", "s-1", AT + timedelta(days=1))
    [kept] = connection.execute(select(submissions)).all()
    assert (kept.session_id, kept.run_key) == ("s", "s-1")
    assert kept.submitted_at < AT


def test_a_second_submission_is_refused(connection: Connection, add: Make) -> None:
    add(1, submit=True)
    add(2)
    with pytest.raises(writing.AlreadySubmitted) as refusal:
        writing.submit(connection, "s", "s-2", AT)
    assert (refusal.value.session_id, refusal.value.submitted, refusal.value.refused) == ("s", "s-1", "s-2")
    assert [row["run_key"] for row in connection.execute(select(submissions)).mappings()] == ["s-1"]


@pytest.mark.parametrize(("session_id", "run_key"), [("s", "nothing"), ("thief", "s-1")])
def test_only_a_run_of_the_session_can_be_submitted(
    connection: Connection, add: Make, session_id: str, run_key: str
) -> None:
    add(1)
    with pytest.raises(writing.UnknownRun) as refusal:
        writing.submit(connection, session_id, run_key, AT)
    assert (refusal.value.session_id, refusal.value.run_key) == (session_id, run_key)


CODE = {"nanoGPT/custom_pretrain.py": "x = 1\n"}


def labels(connection: Connection, run_key: str) -> tuple[str | None, bool, bool, bool]:
    entry = reading.entry(connection, run_key)
    assert entry is not None
    return entry.duplicate_of, entry.is_final, entry.auto_submitted, entry.session_over


def test_the_same_code_is_traced_to_where_it_was_first(connection: Connection, add: Make) -> None:
    add(1, code=CODE, status="failed", metrics={})
    add(2, code=CODE)
    add(1, session_id="t", agent="somebody else", code=CODE)
    for number, different in enumerate(
        (
            {"code": {"nanoGPT/custom_pretrain.py": "x = 1 \n"}},
            {"code": {"nanoGPT/another.py": "x = 1\n"}},
            {"code": CODE | {"nanoGPT/custom_more.py": ""}},
            {"code": CODE, "scale": "smoke"},
            {"code": CODE, "task_version": "v2"},
            {"code": CODE, "record": {"machine": {"runner": "fake"}}},
        )
    ):
        add(1, session_id=f"u{number}", **different)
    found = {}
    for one in choosing.known_boards(connection, "task"):
        query = TableQuery(board=one.board.id, final=False, limit=None, sort="timestamp")
        found |= {row["run_key"]: row["duplicate_of"] for row in reading.rows(connection, "task", query).rows}
    assert found == dict.fromkeys(("s-1", "u0-1", "u1-1", "u2-1", "u3-1", "u4-1", "u5-1")) | {
        "s-2": "s-1",
        "t-1": "s-1",
    }
    assert labels(connection, "t-1")[0] == "s-1"


def test_an_entry_says_what_became_of_it(connection: Connection, add: Make) -> None:
    add(1)
    assert labels(connection, "s-1") == (None, False, False, False)
    add(2, submit=True)
    assert labels(connection, "s-1")[1:] == (False, False, True)
    assert labels(connection, "s-2")[1:] == (True, False, True)


def test_a_submission_that_nobody_made_is_labelled(connection: Connection, add: Make) -> None:
    add(1)
    writing.submit(connection, "s", "s-1", AT, auto=True)
    writing.submit(connection, "s", "s-1", AT)
    add(2, session_id="t", submit=True)
    add(3, session_id="t")
    rows = reading.rows(connection, "task", TableQuery(final=False, sort="timestamp")).rows
    assert [row["auto_submitted"] for row in rows] == [True, False, False]
    assert labels(connection, "s-1")[1:] == (True, True, True)


def test_boards_count_rows_sessions_and_submissions(connection: Connection, add: Make) -> None:
    assert choosing.summaries(connection) == []
    add(1, submit=True)
    add(2)
    last = add(9, session_id="t")
    other = add(1, session_id="u", task_id="a-task", submit=True)
    boards = choosing.summaries(connection)
    assert boards == [
        BoardSummary(board=other.board, rows=1, sessions=1, last=other.finished_at),
        BoardSummary(board=last.board, rows=3, sessions=2, last=last.finished_at),
    ]
    assert choosing.submitted(connection) == {other.board.id: 1, last.board.id: 1}
    assert iso(boards[1].last) == "2026-11-03T12:00:09.000Z"


def test_nothing_is_kept_when_the_caller_rolls_back(engine: Engine, make_result: Make) -> None:
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN")
        writing.record(connection, make_result())
        writing.submit(connection, "s", "s-1", AT)
        connection.rollback()
        for table in metadata.sorted_tables:
            assert connection.execute(select(func.count()).select_from(table)).scalar_one() == 0


def test_every_statement_compiles_for_postgresql(engine: Engine, connection: Connection, add: Make) -> None:
    statements: list[ClauseElement] = []

    def keep(_: object, statement: ClauseElement, *__: object) -> None:
        statements.append(statement)

    event.listen(engine, "before_execute", keep)
    try:
        add(1, submit=True)
        writing.submit(connection, "s", "s-1", AT)
        stored(connection, "s-1")
        choosing.summaries(connection)
        reading.rows(connection, "task", TableQuery(scale="smoke"))
        for sort in columns_at(connection, choosing.summaries(connection)[0].board.id).sortable:
            reading.rows(connection, "task", TableQuery(sort=sort))
            query = TableQuery(status="failed", agent="agent", final=False, sort="-" + sort, limit=None, offset=7)
            reading.rows(connection, "task", query)
    finally:
        event.remove(engine, "before_execute", keep)
    shared = [statement for statement in statements if not isinstance(statement, sqlite.Insert)]
    compiled = [str(statement.compile(dialect=postgresql.dialect())) for statement in shared]  # type: ignore[no-untyped-call]
    assert len(compiled) > 60
    assert {text.split()[0] for text in compiled} == {"INSERT", "SELECT"}


@pytest.mark.parametrize("dialect", [postgresql, sqlite])
def test_both_databases_skip_a_row_whose_key_is_taken(dialect: ModuleType) -> None:
    for table in (results, board_columns, submissions):
        statement = writing._insert_or_skip(dialect.dialect.name, table, dict.fromkeys(table.columns.keys(), 1))
        assert isinstance(statement, dialect.Insert)
        assert str(statement.compile(dialect=dialect.dialect())).endswith("ON CONFLICT DO NOTHING")
