"""One result, whole: its record, its labels, and who may see its code."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.service import TASK

if TYPE_CHECKING:
    from tests.support.service import Agent, Serve, Server

FILE = "nanoGPT/custom_pretrain.py"


def whole(server: Server, run_key: str, bearer: str | None = None) -> dict[str, Any]:
    with server.client(bearer) as client:
        answer = client.get(f"/v1/results/{run_key}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def play(agent: Agent, comment: str | None = None, submit: bool = False) -> str:
    """Tests the file, with this comment if any; the run key of its result."""
    if comment is not None:
        edited = agent.call("edit", {"start_line": 246, "end_line": 246, "content": f"    # {comment}"})
        assert edited.status_code == 200, edited.text
    n = agent.call("test").json()["test"]["n"]
    assert agent.result(n)["ended_at"] is not None
    if submit:
        assert agent.call("submit", {"n": n}).status_code == 200
    return f"{agent.id}-{n}"


@pytest.fixture(scope="module")
def submitted(shared: Server) -> dict[str, Any]:
    """The result of a session that is over, and the agent who has it."""
    agent = shared.open(agent="ann")
    return whole(shared, play(agent, "an edit", submit=True)) | {"its_agent": agent}


def test_a_row_leads_to_its_result(shared: Server, submitted: dict[str, Any]) -> None:
    with shared.client() as client:
        board = client.get(f"/v1/leaderboards/{TASK}", params={"agent": "ann"}).json()
    [row] = board["rows"]
    assert row["run_key"] == submitted["run_key"]
    for name in ("timestamp", "agent", "session_id", "test", "is_final", "status", "scale", "seed", "score"):
        assert row[name] == submitted[name]
    assert row["parameters"] == submitted["parameters"] > 0
    labels = submitted["labels"]
    assert row["compute"] is submitted["compute"] is None
    assert labels.pop("more_compute") is False
    assert {name: row[name] for name in labels} == labels
    assert labels == {"template_unmodified": False, "duplicate_of": None, "auto_submitted": False, "unmet": None}
    assert {name: row[name] for name in board["metric_columns"]} == submitted["metrics"]
    assert all(row[name] == seconds for name, seconds in submitted["elapsed"].items())


def test_the_code_is_there_and_so_are_its_hashes(submitted: dict[str, Any]) -> None:
    agent, record = submitted["its_agent"], submitted["record"]
    opened = agent.opened["files"][0]["text"]
    assert submitted["code"] == {FILE: agent.get().json()["files"][0]["text"]}
    assert "    # an edit\n" in submitted["code"][FILE]
    assert record["code_sha256"] == {FILE: hashlib.sha256(submitted["code"][FILE].encode()).hexdigest()}
    assert record["template_sha256"] == hashlib.sha256(opened.encode()).hexdigest()
    assert record["template_unmodified"] is False
    assert len(submitted["code_sha256"]) == 64


def test_the_record_says_what_was_audited_and_how_it_ran(submitted: dict[str, Any]) -> None:
    record = submitted["record"]
    train, evaluation, lm_eval = record["runs"]
    assert [audit["name"] for audit in record["audits"]] == ["parameters", "commitment"] * 2
    assert {audit["run"] for audit in record["audits"]} == {evaluation["run"], lm_eval["run"]}
    assert all(audit["passed"] and audit["figure"] <= audit["limit"] for audit in record["audits"])
    assert record["parameters"]["counted"] == submitted["parameters"] <= record["parameters"]["cap"]
    assert len(record["checkpoint_sha256"]) == 64
    reported = record["self_reported"]
    assert reported["steps_reported"] == reported["steps_expected"] == 200
    assert reported["uniform_loss"] == pytest.approx(math.log(256))
    assert reported["evaluated_val_loss"] == submitted["metrics"]["val_loss_gpt-smoke"]
    assert reported["last_val_loss"] == pytest.approx(reported["evaluated_val_loss"], abs=1e-3)
    assert reported["first_val_loss"] is None  # the fake says nothing of the beginning
    assert record["settings"]["SEED"] == "42"
    assert record["machine"]["runner"] == "fake"
    assert evaluation["details"] == {"val_tokens": 65536.0}
    assert train["elapsed_s"] > 0
    assert train["slowdown"] == pytest.approx(train["elapsed_s"] / train["baseline_s"], abs=1e-3)
    assert (evaluation["baseline_s"], evaluation["slowdown"], lm_eval["slowdown"]) == (None, None, None)


def test_a_rejected_result_keeps_its_audits(shared: Server) -> None:
    found = whole(shared, play(shared.open(), "fake: evaluate.reject"))
    assert (found["status"], found["metrics"]) == ("rejected", {})
    assert [(audit["name"], audit["passed"]) for audit in found["record"]["audits"]] == [
        ("parameters", True),
        ("commitment", False),
    ]
    assert found["record"]["runs"][-1]["reason"].startswith("commitment: off by 0.75 nats")
    key = found["run_key"]
    assert [run["run"] for run in found["record"]["runs"]] == [f"{key}-0-0", f"{key}-1-0"]  # no second attempt
    assert found["parameters"] == found["record"]["parameters"]["counted"] > 0


def test_code_is_traced_to_where_it_was_first_whoever_tests_it(shared: Server) -> None:
    first = play(shared.open(agent="first"), "mine")
    copied, other = play(shared.open(agent="copycat"), "mine"), play(shared.open(agent="other"), "another")
    template = play(shared.open())
    labels = [whole(shared, key)["labels"] for key in (first, copied, other, template)]
    assert [label["duplicate_of"] for label in labels] == [None, first, None, None]
    assert [label["template_unmodified"] for label in labels] == [False, False, False, True]
    again = shared.open()
    assert whole(shared, play(again))["labels"]["duplicate_of"] == template


def test_code_of_an_open_session_is_for_its_own_agent_and_operators(serve: Serve) -> None:
    server = serve("--runner", "fake", "--key", "operator")
    with server.client("operator") as client:
        opened = [client.post("/v1/sessions", json={"task": TASK, "agent": "x"}).json() for _ in range(2)]
    with server.client(opened[0]["token"]) as client:
        session = f"/v1/sessions/{opened[0]['session_id']}"
        assert client.post(f"{session}/test", params={"wait": 30}).json()["test"]["status"] == "succeeded"
        key = f"{opened[0]['session_id']}-1"
        for bearer, shown in (
            (None, False),
            ("made up", False),
            (opened[1]["token"], False),
            (opened[0]["token"], True),
            ("operator", True),
        ):
            found = whole(server, key, bearer)
            assert (found["code"] is not None) is shown, bearer
            assert found["metrics"]["val_loss_gpt-smoke"] > 0
        assert client.post(f"{session}/submit", json={"n": 1}).status_code == 200
    assert list(whole(server, key)["code"]) == [FILE]


@pytest.mark.parametrize("run_key", ["nothing-1", "x" * 3000, "%F0%9F%8E%89", "..%5c..", "' OR 1=1 --"])
def test_a_result_that_is_not_there_is_refused(shared: Server, run_key: str) -> None:
    with shared.client() as client:
        refused = client.get(f"/v1/results/{run_key}")
    assert (refused.status_code, refused.json()["code"]) == (404, "unknown_result")
    assert refused.json()["observation"].startswith("ERROR: There is no result ")
    assert len(refused.json()["observation"]) < 300


def test_a_result_outlives_the_service(serve: Serve) -> None:
    server = serve()
    key = play(server.open(), "kept", submit=True)
    before = whole(server, key)
    server.kill()
    server.start()
    assert whole(server, key) == before
