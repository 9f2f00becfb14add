from __future__ import annotations

import csv
import io
from collections.abc import Callable

import pytest
from sqlalchemy import Connection

from leaderboard import reading
from leaderboard.export import to_csv
from leaderboard.model import Result
from leaderboard.table import FIXED_COLUMNS, Table, TableQuery

Add = Callable[..., Result]


def whole(table: Table) -> str:
    return "".join(to_csv(table.columns, table.rows))


def cells(connection: Connection) -> list[list[str]]:
    text = whole(reading.rows(connection, "task", TableQuery(final=False)))
    return list(csv.reader(io.StringIO(text, newline="")))


def test_the_text_of_a_small_table(connection: Connection, add: Add) -> None:
    add(1, agent='a "b", c', metrics={"val_loss_x": -2.5e-07, "ppl_x": float("nan")}, elapsed={"elapsed_x": 7.0})
    table = reading.rows(connection, "task", TableQuery(final=False))
    assert table.board is not None
    assert whole(table) == (
        "timestamp,agent,session_id,test,is_final,status,scale,seed,score,delta_noise,run_key,parameters,template_unmodified,"
        "duplicate_of,auto_submitted,compute,certified,certified_error,unmet,"
        "board,task_version,runner_class,runner,image,training_data,heldout_data,reserve_data,"
        "confirms,entry_n,entry_mean,entry_sd,delta,delta_error,delta_p,verdict,val_loss_x,ppl_x,elapsed_x\r\n"
        '2026-11-03T12:00:01.000Z,"a ""b"", c",s,1,false,succeeded,gpt-345m,42,,,s-1,,false,,false,,,,,'
        f"{table.board.id},v1,unknown,,,{'a' * 64},{'b' * 64},,,1,-2.5e-07,,,,,,-2.5e-07,,7.0\r\n"
    )


def test_an_empty_table_still_has_its_header(connection: Connection) -> None:
    [header] = cells(connection)
    assert header[:2] == ["timestamp", "agent"]


@pytest.mark.parametrize(
    "agent",
    [
        "=1+1",
        "+cmd|' /C calc'!A0",
        "-2+3",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        '=HYPERLINK("http://x","y")',
        "-",
        "+1_0",
    ],
)
def test_formulas_are_made_harmless(connection: Connection, add: Add, agent: str) -> None:
    add(1, agent=agent)
    assert cells(connection)[1][1] == "'" + agent


@pytest.mark.parametrize("agent", ["-5", "+1.5e-3", "-.5", "a=b", "claude-opus", "'quoted", "line\r\nbreak", "модель"])
def test_other_text_is_left_alone(connection: Connection, add: Add, agent: str) -> None:
    add(1, agent=agent)
    assert cells(connection)[1][1] == agent


def test_a_metrics_name_is_no_formula_either(connection: Connection, add: Add) -> None:
    add(1, metrics={"=evil_x": -1.0})
    header, row = cells(connection)
    place = len(FIXED_COLUMNS)
    assert (header[place], row[place]) == ("'=evil_x", "-1.0")
