"""Tests that are stopped: by a call, by a submission, and those that fail by our fault too often."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

from env.store.engine import open_database
from env.store.kept_answers import forget_answers
from tests.support.service import TASK, Agent, Serve, Server

EDIT = {"op": "replace", "start_line": 246, "end_line": 246}


def write(agent: Agent, wish: str) -> None:
    edited = agent.call("edit", EDIT | {"content": f"    # fake: {wish}\n"})
    assert edited.status_code == 200, edited.text


def test_a_submission_cancels_the_test_that_still_runs(shared: Server) -> None:
    agent = shared.open()
    agent.post("/test?wait=30")
    write(agent, "hang")
    agent.call("test")
    told = agent.call("submit", {"n": 1})
    assert told.status_code == 200
    assert told.json()["observation"].endswith("Test #2 was not over. It is cancelled, as the session is closed now.")
    assert agent.result(2, patience_s=30)["status"] == "cancelled"


def test_a_cancellation_is_a_step_and_repeated_under_its_key(shared: Server) -> None:
    agent = shared.open()
    write(agent, "hang")
    agent.call("test")
    keyed = {"headers": {"Idempotency-Key": "stop"}}
    first = agent.post("/tests/1/cancel?wait=30", **keyed)
    assert (first.status_code, first.json()["status"]) == (200, "cancelled")
    assert agent.post("/tests/1/cancel", **keyed).json() == first.json()
    again = agent.post("/tests/1/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "test_over")
    assert agent.post("/tests/2/cancel", **keyed).json()["code"] == "idempotency_key_reused"
    steps = agent.get("/trajectory").json()["steps"]
    assert [step["tool"] for step in steps] == ["edit", "test", "cancel"]
    assert steps[-1]["input"] == {"n": 1}
    assert steps[-1]["observation"].startswith("[cancel] Test #1 is cancelled by its agent.")
    assert agent.call("edit", EDIT | {"content": "    pass\n"}).status_code == 200


def test_an_operators_cancellation_says_so(serve: Serve) -> None:
    server = serve("--runner", "fake", "--key", "k")
    with server.client("k") as operator:
        opened = operator.post("/v1/sessions", json={"task": "llm-pretrain-normalization", "agent": "a"}).json()
        agent = Agent(server, opened)
        write(agent, "hang")
        agent.call("test")
        assert operator.post(f"/v1/sessions/{agent.id}/tests/1/cancel?wait=30").json()["status"] == "cancelled"
    assert "by an operator" in agent.get("/trajectory").json()["steps"][-1]["observation"]


def test_refunds_for_our_failures_have_an_end_in_each_session(shared: Server) -> None:
    agent = shared.open()
    write(agent, "lost")
    for n in range(1, 7):
        told = agent.post("/test?wait=60").json()["test"]
        assert (told["n"], told["status"], told["refunded"]) == (n, "infra_failed", True)
        assert "After 6 such failures a session can test no more." in told["observation"]
    refused = agent.call("test")
    assert (refused.status_code, refused.json()["code"]) == (429, "refunds_exhausted")
    assert shared.open().call("test").status_code == 202


def test_a_kept_answer_is_whole_and_its_text_is_stored_once(serve: Serve) -> None:
    server = serve("--runner", "fake")
    agent = server.open(metadata={"note": "mine"})
    assert "metadata that this session was opened with becomes public" in agent.opened["prompt"]
    assert "becomes public" not in server.open().opened["prompt"]
    keyed = {"headers": {"Idempotency-Key": "k"}}
    first = agent.call("view", **keyed)
    assert agent.call("view", **keyed).content == first.content
    refused = agent.call("undo", headers={"Idempotency-Key": "r"})
    assert agent.call("undo", headers={"Idempotency-Key": "r"}).content == refused.content
    with closing(sqlite3.connect(server.state / "ringfence.db")) as database:
        bodies = [body for (body,) in database.execute("SELECT body FROM answers")]
    assert len(bodies) == 2
    assert max(map(len, bodies)) < 300 < len(first.json()["observation"])


def test_without_operator_keys_a_key_that_gives_a_token_is_hard_to_guess(shared: Server) -> None:
    body = {"task": TASK, "agent": "a"}
    with shared.client() as client:
        refused = client.post("/v1/sessions", json=body, headers={"Idempotency-Key": "mine"})
        opened = [client.post("/v1/sessions", json=body, headers={"Idempotency-Key": "f" * 32}) for _ in range(2)]
    assert (refused.status_code, refused.json()["code"]) == (422, "bad_idempotency_key")
    assert opened[0].json()["token"] == opened[1].json()["token"]


def test_answers_are_forgotten_a_day_after_their_session_ended(serve: Serve) -> None:
    server = serve("--runner", "fake")
    agents = [server.open(), server.open()]
    for agent in agents:
        agent.call("view", headers={"Idempotency-Key": "k"})
    agents[0].post("/test?wait=30")
    agents[0].call("submit", {"n": 1})
    server.stop()
    engine = open_database(f"sqlite:///{server.state / 'ringfence.db'}")
    with engine.begin() as conn:
        assert forget_answers(conn, datetime.now(UTC) - timedelta(days=1)) == 0
        assert forget_answers(conn, datetime.now(UTC) + timedelta(seconds=1)) == 1
        assert forget_answers(conn, datetime.now(UTC) + timedelta(seconds=1)) == 0
    engine.dispose()
