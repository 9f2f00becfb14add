"""Leaderboards as JSON and CSV, over HTTP and from real sessions."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from env.store.model import Status
from leaderboard.model import RESULT_STATUSES
from tests.support.service import TASK, Server

FIXED = [
    *("timestamp", "agent", "session_id", "test", "is_final", "status", "scale", "seed", "score"),
    *("delta_noise", "run_key", "parameters", "template_unmodified", "duplicate_of", "auto_submitted"),
    "compute",
    "certified",
    "certified_error",
    "unmet",
    *("board", "task_version", "runner_class", "runner", "image", "training_data", "heldout_data", "reserve_data"),
    *("confirms", "entry_n", "entry_mean", "entry_sd", "delta", "delta_error", "delta_p", "verdict"),
]
METRICS = [
    *(f"{name}_gpt-smoke" for name in ("val_loss", "wikitext2_ppl", "lambada_ppl")),
    *(f"{name}_lm-eval-smoke" for name in ("arc_easy", "hellaswag", "piqa", "winogrande")),
]
ELAPSED = ["elapsed_gpt-smoke", "elapsed_lm-eval-smoke"]


@pytest.fixture(scope="module")
def client(shared: Server) -> Iterator[httpx.Client]:
    """To a service with three sessions: `ann` submitted the second of two tests, `bob` his only one, `eve` none."""
    sessions = {name: shared.open(agent=name) for name in ("ann", "bob", "eve")}
    for name, comments in (("ann", ("x", "y")), ("bob", ("z",)), ("eve", ("fake: exit=1",))):
        for comment in comments:
            sessions[name].call("edit", {"start_line": 246, "end_line": 246, "content": f"    # {comment}"})
            sessions[name].post("/test?wait=30")
    sessions["ann"].call("submit", {"n": 2})
    sessions["bob"].call("submit", {"n": 1})
    with shared.client() as client:
        yield client


def test_submitted_results_are_listed_best_first(client: httpx.Client) -> None:
    board = client.get(f"/v1/leaderboards/{TASK}").json()
    assert board["task_id"] == TASK
    assert board["columns"] == FIXED + METRICS + ELAPSED
    assert board["metric_columns"] == METRICS
    assert (board["total"], board["limit"], board["offset"]) == (2, 100, 0)
    rows = board["rows"]
    assert {(row["agent"], row["test"]) for row in rows} == {("ann", 2), ("bob", 1)}
    assert [row["val_loss_gpt-smoke"] for row in rows] == sorted(row["val_loss_gpt-smoke"] for row in rows)
    for row in rows:
        assert list(row) == board["columns"]
        assert (row["is_final"], row["status"], row["scale"], row["seed"]) == (True, "succeeded", "smoke", 42)
        assert row["score"] is None  # invented results are of no data that anchors could hold for
        assert all(row[name] > 0 for name in METRICS)


def test_every_test_is_listed_on_request_and_failed_ones_have_no_metrics(client: httpx.Client) -> None:
    rows = client.get(f"/v1/leaderboards/{TASK}", params={"final": False, "sort": "timestamp"}).json()["rows"]
    assert [(row["agent"], row["test"], row["is_final"], row["status"]) for row in rows] == [
        ("ann", 1, False, "succeeded"),
        ("ann", 2, True, "succeeded"),
        ("bob", 1, True, "succeeded"),
        ("eve", 1, False, "failed"),
    ]
    assert [rows[-1][name] for name in METRICS] == [None] * len(METRICS)
    assert rows[-1]["elapsed_gpt-smoke"] > 0


def test_rows_can_be_chosen_sorted_and_paged(client: httpx.Client) -> None:
    def keys(**query: Any) -> list[tuple[str, int]]:
        board = client.get(f"/v1/leaderboards/{TASK}", params={"final": False, "sort": "timestamp"} | query).json()
        return [(row["agent"], row["test"]) for row in board["rows"]]

    everything = [("ann", 1), ("ann", 2), ("bob", 1), ("eve", 1)]
    assert keys() == everything
    assert keys(final=True) == [("ann", 2), ("bob", 1)]
    assert keys(agent="ann") == [("ann", 1), ("ann", 2)]
    assert keys(status="failed") == [("eve", 1)]
    assert keys(scale="smoke") == everything
    assert keys(scale="gpt-345m") == []
    assert keys(sort="-timestamp") == everything[::-1]
    assert keys(sort="-agent", agent="bob") == [("bob", 1)]
    assert keys(limit=2) == everything[:2]
    assert keys(limit=2, offset=2) == everything[2:]
    assert keys(offset=4) == []
    by_loss = client.get(f"/v1/leaderboards/{TASK}", params={"final": False, "sort": "-val_loss_gpt-smoke"}).json()
    losses = [row["val_loss_gpt-smoke"] for row in by_loss["rows"]]
    assert losses[:3] == sorted(losses[:3], reverse=True)
    assert losses[3] is None  # what has no value comes last either way


def test_csv_holds_the_same_rows(client: httpx.Client) -> None:
    query = {"final": False, "sort": "timestamp"}
    answer = client.get(f"/v1/leaderboards/{TASK}.csv", params=query)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    told = client.get(f"/v1/leaderboards/{TASK}", params=query).json()
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert list(rows[0]) == told["columns"]
    assert [row["agent"] for row in rows] == [row["agent"] for row in told["rows"]]
    assert rows[0]["val_loss_gpt-smoke"] == str(told["rows"][0]["val_loss_gpt-smoke"])
    assert (rows[0]["is_final"], rows[1]["is_final"], rows[3]["val_loss_gpt-smoke"]) == ("false", "true", "")
    assert len(client.get(f"/v1/leaderboards/{TASK}.csv").text.splitlines()) == 1 + 2


def test_the_tasks_with_results_are_listed(client: httpx.Client) -> None:
    [board] = client.get("/v1/leaderboards").json()["leaderboards"]
    assert (board.pop("last") or "").endswith("Z")
    [only] = board.pop("boards")
    assert board == {"task_id": TASK, "rows": 4, "sessions": 3, "submissions": 2}
    assert {name: only[name] for name in ("scale", "data", "runner_class", "mark", "here", "rows")} == {
        "scale": "smoke",
        "data": None,
        "runner_class": "fake",
        "mark": "invented by the fake runner",
        "here": True,
        "rows": 4,
    }


def test_a_task_nobody_ran_has_an_empty_board_and_an_unknown_one_none(client: httpx.Client) -> None:
    empty = client.get("/v1/leaderboards/llm-pretrain-loss").json()
    assert (empty["rows"], empty["total"], empty["metric_columns"]) == ([], 0, [])
    for form in ("", ".csv"):
        unknown = client.get(f"/v1/leaderboards/nope{form}")
        assert unknown.status_code == 404
        assert unknown.json()["code"] == "unknown_task"


def test_a_column_that_is_not_there_is_answered_with_those_that_are(client: httpx.Client) -> None:
    refused = client.get(f"/v1/leaderboards/{TASK}?sort=nope")
    assert refused.status_code == 422
    assert refused.json()["observation"].startswith("ERROR: no column 'nope' to sort by; the columns are: timestamp, ")


def test_every_final_status_but_our_own_fault_is_one_of_a_result() -> None:
    assert set(RESULT_STATUSES) == {status.value for status in Status if status.final} - {Status.INFRA_FAILED.value}
