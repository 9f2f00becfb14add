"""What a result comes to that does not answer its task's question, on a running service."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.service import Agent, Server

TASK = "llm-pretrain-linear-attention"
QUADRATIC = "    # fake: evaluate.quadratic"


@pytest.fixture(scope="module")
def played(shared: Server) -> dict[str, Agent]:
    """Two agents with two tests each; what each submitted: one an answer to the question, one none."""
    agents = {}
    for name, comment in (("answers", "    # one"), ("misses", QUADRATIC)):
        agent = agents[name] = shared.open(TASK, agent=name)
        agent.call("edit", {"start_line": 247, "end_line": 247, "content": comment})
        agent.post("/test?wait=60")
        agent.call("submit", {"n": 1})
    return agents


def row_of(shared: Server, agent: str) -> dict[str, Any]:
    with shared.client() as client:
        (row,) = client.get(f"/v1/leaderboards/{TASK}", params={"agent": agent}).json()["rows"]
    return dict(row)


def test_it_is_labelled_scored_by_nobody_and_ranked_last(shared: Server, played: dict[str, Agent]) -> None:
    assert played
    row = row_of(shared, "misses")
    assert (row["unmet"], row["score"], row["status"]) == ("not sub-quadratic", None, "succeeded")
    assert row_of(shared, "answers")["unmet"] is None
    with shared.client() as client:
        rows = client.get(f"/v1/leaderboards/{TASK}").json()["rows"]
        assert [row["agent"] for row in rows][-1] == "misses"
        result = client.get(f"/v1/results/{row['run_key']}").json()
        page, session = client.get(f"/tasks/{TASK}").text, client.get(f"/sessions/{row['session_id']}").text
    assert result["labels"]["unmet"] == "not sub-quadratic"
    growth = result["record"]["cost_growth"]
    assert (growth["subquadratic"], growth["exponent"], growth["lengths"]) == (False, 2.0, [256, 512, 1024])
    assert '<span class="tag">not sub-quadratic</span>' in page
    assert "not sub-quadratic: no answer to the task" in session


def test_it_is_never_the_best(shared: Server, played: dict[str, Agent]) -> None:
    assert played
    with shared.client() as client:
        home = client.get("/").text
    assert f"{row_of(shared, 'answers')['val_loss_gpt-smoke']:.4f}" in home
    assert f"{row_of(shared, 'misses')['val_loss_gpt-smoke']:.4f}" not in home


def test_the_agent_hears_why_in_the_tests_answer_and_beforehand_in_a_check(
    shared: Server, played: dict[str, Agent]
) -> None:
    told = played["misses"].get("/tests/1").json()["observation"]
    assert "cost is not sub-quadratic: from 256 to 1024 tokens its operations per token rise 1.00 times" in told
    assert "labelled `not sub-quadratic`" in told
    assert "sub-quadratic:" not in played["answers"].get("/tests/1").json()["observation"]
    agent = shared.open(TASK, agent="checks")
    agent.call("edit", {"start_line": 247, "end_line": 247, "content": QUADRATIC})
    checked = agent.post("/check?wait=60").json()
    assert checked["check"]["passed"] is True
    assert "not sub-quadratic" in checked["observation"]
