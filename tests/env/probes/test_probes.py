"""A probe from its call to its result: a test at the proxy of the session's scale, which is never ranked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.service import TASK

if TYPE_CHECKING:
    from tests.support.service import Agent, Server


def note(agent: Agent, text: str) -> None:
    answer = agent.call("edit", {"op": "insert", "after_line": 22, "content": f"    # {text}\n"})
    assert answer.status_code == 200, answer.text


def probe_result(agent: Agent, n: int) -> dict[str, Any]:
    seen: dict[str, Any] = agent.get(f"/probes/{n}", params={"wait": 60}).json()
    assert seen["ended_at"] is not None, seen["status"]
    return seen


def tool_names(opened: dict[str, Any]) -> list[str]:
    return [tool["function"]["name"] for tool in opened["tools"]]


def test_an_agent_probes_then_tests_and_submits(server: Server) -> None:
    agent = server.open("proxied")
    assert agent.opened["budget"] == {
        "tests": 3,
        "tests_remaining": 3,
        "steps": 0,
        "gpu_hours": None,
        "gpu_hours_used": None,
        "probes": 6,
        "probes_remaining": 6,
    }
    asked = agent.call("probe")
    assert asked.status_code == 202, asked.text
    assert asked.json()["probe"] == {"n": 1, "status": "queued", "probes_remaining": 5}
    assert asked.json()["observation"] == (
        f"[Probe #1] queued (5 probes remaining). Its result: GET /v1/sessions/{agent.id}/probes/1?wait=60, until the "
        "status is final."
    )
    probe = probe_result(agent, 1)
    assert (probe["n"], probe["kind"], probe["scale"], probe["status"]) == (1, "probe", "tiny", "succeeded")
    head, stage = probe["observation"].split("\n\n")
    assert head == "[Probe #1] (5 probes remaining; probes guide you, they are never ranked)"
    assert stage.startswith("### gpt-tiny (train.sh)\nTraining metrics (last steps):\n")
    assert set(probe["metrics"]) == {"val_loss_gpt-tiny", "wikitext2_ppl_gpt-tiny", "lambada_ppl_gpt-tiny"}
    assert probe["progress"]["series"][-1]["step"] == 15  # the proxy's iterations

    note(agent, "another try")
    waited = agent.post("/probe", json={}, params={"wait": 60}).json()
    assert (waited["probe"]["n"], waited["probe"]["status"]) == (2, "succeeded")
    assert waited["observation"].startswith("[Probe #2] (4 probes remaining; ")
    assert waited["probe"]["metrics"] != probe["metrics"]

    test = agent.post("/test", json={}, params={"wait": 60}).json()
    assert (test["test"]["n"], set(test["test"]) & {"kind", "scale"}) == (1, set())
    assert test["observation"].startswith("[Test #1] (2 tests remaining; ")
    assert test["test"]["progress"]["series"][-1]["step"] == 30

    seen = agent.get().json()
    assert [(one["n"], one["kind"], one["scale"], one["status"]) for one in seen["probes"]] == [
        (1, "probe", "tiny", "succeeded"),
        (2, "probe", "tiny", "succeeded"),
    ]
    assert [one["n"] for one in seen["tests"]] == [1]
    assert (seen["budget"]["tests_remaining"], seen["budget"]["probes_remaining"]) == (2, 4)
    steps = agent.get("/trajectory").json()["steps"]
    assert [(step["tool"], step["test"], step.get("probe")) for step in steps] == [
        ("probe", None, 1),
        ("edit", None, None),
        ("probe", None, 2),
        ("test", 1, None),
    ]
    assert steps[0]["observation"] == probe["observation"]
    assert agent.call("submit", {"n": 1}).status_code == 200


def test_a_probe_cannot_be_submitted_and_stands_on_no_board(server: Server) -> None:
    agent = server.open("proxied")
    assert agent.post("/probe", json={}, params={"wait": 60}).json()["probe"]["status"] == "succeeded"
    for n in (1, -1, 0):
        refused = agent.call("submit", {"n": n})
        assert (refused.status_code, refused.json()["code"]) == (409, "no_results")
        assert "The result of a probe cannot be submitted." in refused.json()["observation"]
    agent.post("/test", json={}, params={"wait": 60})
    refused = agent.call("submit", {"n": -1})
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown_test")
    with server.client() as client:
        rows = client.get("/v1/leaderboards/proxied", params={"final": False}).json()["rows"]
        assert [(row["test"], row["scale"]) for row in rows] == [(1, "smoke")]
        assert client.get(f"/v1/results/{agent.id}-p1").status_code == 404
        assert client.get(f"/v1/results/{agent.id}--1").status_code == 404


def test_only_scales_with_a_proxy_have_probes(server: Server) -> None:
    proxied, plain = server.open("proxied"), server.open()
    assert tool_names(proxied.opened) == ["edit", "view", "undo", "check", "probe", "test", "submit"]
    assert tool_names(plain.opened) == ["edit", "view", "undo", "check", "test", "submit"]
    assert "## What a probe runs\n" in proxied.opened["prompt"]
    assert "Scale `tiny`: One layer, and half as many iterations." in proxied.opened["prompt"]
    assert "- 6 probe(s) at scale `tiny`, beside the tests; one test or probe at a time." in proxied.opened["prompt"]
    assert "probe" not in plain.opened["prompt"]
    assert not {"probes", "probes_remaining"} & plain.opened["budget"].keys()
    refused = plain.call("probe")
    assert (refused.status_code, refused.json()["code"]) == (409, "no_proxy")
    assert refused.json()["observation"].startswith("ERROR: Scale smoke has no proxy, so there are no probes")
    assert "probes" not in plain.get().json()
    assert plain.get("/probes/1").json()["code"] == "unknown_probe"
    with server.client() as client:
        task = client.get("/v1/tasks/proxied").json()
        assert "probe" in tool_names(client.get("/v1/tools").json())
    assert task["budget"] == {"tests": 3, "steps": 0, "checks": 10, "gpu_hours": None, "probes": 6}
    assert {name: scale.get("probe") for name, scale in task["scale_details"].items()} == {
        "smoke": "tiny",
        "tiny": None,
    }


def test_the_prompt_says_what_a_probe_at_gpt_124m_is_worth(server: Server) -> None:
    prompt = server.open(TASK, scale="gpt-345m").opened["prompt"]
    assert "- 6 probe(s) at scale `gpt-124m`, beside the tests; one test or probe at a time." in prompt
    assert "21 of 24 pairs of baselines have the same order at both sizes" in prompt
    assert "Differences of val_loss under 0.005 are not to be trusted" in prompt
    assert "- `gpt-124m`: `bash scripts/gpt_124m.sh`, at most 33 min" in prompt


def test_mistakes_are_refused_before_a_probe_is_spent(server: Server) -> None:
    agent = server.open("proxied")
    assert agent.call("edit", {"op": "insert", "after_line": 22, "content": "    def (\n"}).status_code == 200
    refused = agent.call("probe")
    assert refused.status_code == 422
    assert refused.json()["observation"].startswith("ERROR: ")
    assert agent.call("undo").status_code == 200
    extra = agent.call("probe", {"scale": "smoke"})
    assert (extra.status_code, extra.json()["code"]) == (422, "invalid_arguments")
    assert extra.json()["observation"].endswith("probe takes no arguments.")
    assert agent.get().json()["budget"]["probes_remaining"] == 6


@pytest.mark.parametrize(
    ("wish", "status", "told"),
    [
        ("exit=1", "failed", "[COMMAND FAILED exit=1]"),
        ("nan", "diverged", "[DIVERGED "),
        ("evaluate.reject", "rejected", "[REJECTED commitment: "),
    ],
)
def test_what_fails_in_a_probe_is_told_as_in_a_test(server: Server, wish: str, status: str, told: str) -> None:
    agent = server.open("proxied")
    note(agent, f"fake: {wish}")
    answer = agent.post("/probe", json={}, params={"wait": 60}).json()
    assert answer["probe"]["status"] == status
    assert told in answer["observation"]
    assert "Leaderboard" not in answer["observation"]
    assert agent.get().json()["budget"]["probes_remaining"] == 5


def test_a_probe_that_we_lose_is_refunded(server: Server) -> None:
    agent = server.open("proxied")
    note(agent, "fake: lost")
    answer = agent.post("/probe", json={}, params={"wait": 60}).json()
    assert (answer["probe"]["status"], answer["probe"]["refunded"]) == ("infra_failed", True)
    assert "[NOTE] Probe #1 was not counted: the infrastructure failed, not your code." in answer["observation"]
    assert "It does not reduce your budget of 6." in answer["observation"]
    budget = agent.get().json()["budget"]
    assert (budget["probes_remaining"], budget["tests_remaining"]) == (6, 3)


def test_a_probe_is_followed_by_events_and_stopped(server: Server) -> None:
    agent = server.open("proxied")
    note(agent, "fake: seconds=1")
    assert agent.call("probe").status_code == 202
    blocks = [block.split("\n") for block in agent.get("/probes/1/events").text.split("\n\n") if "event: " in block]
    events = [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]
    assert [data for name, data in events if name == "status"][-1] == {"n": 1, "status": "succeeded"}
    assert len([data for name, data in events if name == "metrics"]) == 20
    name, result = events[-1]
    assert (name, result["kind"], result["n"]) == ("result", "probe", 1)

    note(agent, "fake: hang")
    assert agent.call("probe").status_code == 202
    assert agent.get("/tests/2").json()["code"] == "unknown_test"
    stopped = agent.post("/probes/2/cancel").json()
    assert (stopped["status"], stopped["refunded"]) == ("cancelled", False)
    assert stopped["observation"].startswith("[Probe #2] (4 probes remaining; ")
    again = agent.post("/probes/2/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "test_over")
    assert again.json()["observation"] == "ERROR: Probe #2 is over already: cancelled."
    step = agent.get("/trajectory").json()["steps"][-1]
    assert (step["tool"], step["test"], step["probe"]) == ("cancel_probe", None, 2)
    assert step["observation"].startswith("[cancel] Probe #2 is cancelled by its agent.")


def test_a_probe_that_waits_is_refunded_when_it_is_stopped(server: Server) -> None:
    busy, agent = server.open("proxied"), server.open("proxied")
    note(busy, "fake: seconds=30")
    assert busy.call("test").status_code == 202
    assert agent.call("probe").status_code == 202
    stopped = agent.post("/probes/1/cancel").json()
    assert (stopped["status"], stopped["refunded"]) == ("cancelled", True)
    assert agent.get().json()["budget"]["probes_remaining"] == 6
    assert busy.post("/tests/1/cancel").json()["status"] == "cancelled"


def test_submitting_stops_a_probe_that_runs(server: Server) -> None:
    agent = server.open("proxied")
    agent.post("/test", json={}, params={"wait": 60})
    note(agent, "fake: hang")
    assert agent.call("probe").status_code == 202
    told = agent.call("submit", {"n": 1}).json()["observation"]
    assert told.endswith("[NOTE] Probe #1 was not over. It is cancelled, as the session is closed now.")
    assert probe_result(agent, 1)["status"] == "cancelled"


def test_the_page_shows_probes_and_tests_in_one_list(server: Server) -> None:
    agent = server.open("proxied")
    for tool in ("probe", "test", "probe"):
        agent.post(f"/{tool}", json={}, params={"wait": 60})
    page = agent_page(agent, server)
    places = [page.index(f'id="{name}"') for name in ("probe-1", "test-1", "probe-2")]
    assert places == sorted(places)
    assert '<h2 id="tests-title">Tests and probes</h2>' in page
    assert "<dt>Probes</dt><dd>2 of 6</dd>" in page
    assert (
        'Probe #1 <span class="status succeeded">succeeded</span> <span class="tag">tiny, never ranked</span>' in page
    )
    assert "One layer, and half as many iterations." in page
    assert '<a href="#probe-2">probe #2</a>' in page
    assert "Probes" not in agent_page(server.open(), server)


def agent_page(agent: Agent, server: Server) -> str:
    with server.client(agent.token) as client:
        answer = client.get(f"/sessions/{agent.id}")
    assert answer.status_code == 200, answer.text
    return answer.text
