"""However a test is asked for, it is spent once: at the same time, again, under a key, across a kill."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.support.service import TASK
from tests.support.waiting import Deadline

if TYPE_CHECKING:
    from tests.support.service import Agent, Server

Serve = Callable[..., "Server"]
Rows = Callable[..., list[dict[str, Any]]]


def at_once(server: Server, agent: Agent, tool: str, count: int, key: str | None = None) -> list[httpx.Response]:
    """The same call `count` times in parallel, each over a connection of its own."""

    async def fire() -> list[httpx.Response]:
        headers = {"Authorization": f"Bearer {agent.token}"} | ({} if key is None else {"Idempotency-Key": key})
        limits = httpx.Limits(max_connections=count)
        async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=60, limits=limits) as client:
            return await asyncio.gather(
                *(client.post(f"/v1/sessions/{agent.id}/{tool}", json={}) for _ in range(count))
            )

    return asyncio.run(fire())


def note(agent: Agent, text: str) -> None:
    answer = agent.call("edit", {"op": "insert", "after_line": 22, "content": f"    # {text}\n"})
    assert answer.status_code == 200, answer.text


def test_of_200_calls_at_once_exactly_one_is_spent_until_the_budget_is(serve: Serve, rows: Rows) -> None:
    server = serve("--runner", "fake")
    agent = server.open()
    note(agent, "fake: seconds=30")
    for n in (1, 2, 3):
        answers = at_once(server, agent, "test", 200)
        told = Counter((answer.status_code, answer.json().get("code")) for answer in answers)
        refusal = (409, "test_running") if n < 3 else (429, "test_budget_exhausted")
        assert told == {(202, None): 1, refusal: 199}
        assert all(answer.json()["observation"].startswith("ERROR: ") for answer in answers if not answer.is_success)
        assert agent.get().json()["budget"]["tests_remaining"] == 3 - n
        assert agent.post(f"/tests/{n}/cancel").json()["status"] == "cancelled"
    assert {answer.status_code for answer in at_once(server, agent, "test", 50)} == {429}
    assert [row["test"] for row in sorted(rows(server, TASK), key=lambda row: row["test"])] == [1, 2, 3]
    steps = agent.get("/trajectory").json()["steps"]
    assert [step["step"] for step in steps] == list(range(1, 1 + 600 + 3 + 50 + 1))  # with three cancellations
    assert [step["test"] for step in steps if step["tool"] == "test" and step["ok"]] == [1, 2, 3]


def test_calls_that_race_with_the_ends_of_tests_never_spend_more_than_the_budget(serve: Serve, rows: Rows) -> None:
    server = serve("--runner", "fake", "--slots", "1")
    agents = [server.open() for _ in range(3)]
    told: dict[str, Counter[int]] = {agent.id: Counter() for agent in agents}
    deadline = Deadline(100)
    while any(agent.get().json()["budget"]["tests_remaining"] for agent in agents):
        deadline.check("for the end of every budget")
        for agent in agents:
            told[agent.id].update(answer.status_code for answer in at_once(server, agent, "test", 20))
    for agent in agents:
        assert [agent.result(n)["status"] for n in (1, 2, 3)] == ["succeeded"] * 3
        assert agent.get("/tests/4").status_code == 404
        assert told[agent.id][202] == 3
        assert set(told[agent.id]) <= {202, 409, 429}
    assert Counter(row["session_id"] for row in rows(server, TASK)) == {agent.id: 3 for agent in agents}


def test_a_call_repeated_under_its_key_gets_the_first_answer_and_spends_once(serve: Serve, rows: Rows) -> None:
    server = serve("--runner", "fake")
    agent = server.open()
    together = at_once(server, agent, "test", 50, key="first")
    first = together[0]
    assert first.status_code == 202
    assert {answer.text for answer in together} == {first.text}
    done = agent.result(1)
    server.kill()
    server.start()
    later = [agent.call("test", headers={"Idempotency-Key": "first"}) for _ in range(3)]
    assert {(answer.status_code, answer.text) for answer in later} == {(202, first.text)}
    waited = agent.call("test", headers={"Idempotency-Key": "first"}, params={"wait": 5}).json()
    assert (waited["test"]["n"], waited["observation"]) == (1, done["observation"])
    assert agent.get().json()["budget"]["tests_remaining"] == 2
    assert len(rows(server, TASK)) == 1
    assert len(agent.get("/trajectory").json()["steps"]) == 1


def test_a_key_stands_for_one_call_of_one_session(shared: Server) -> None:
    agent, other = shared.open(), shared.open()
    key = {"Idempotency-Key": "k"}
    insert = {"op": "insert", "after_line": 22, "content": "    # one\n"}
    first = agent.call("edit", insert, headers=key)
    assert agent.call("edit", insert, headers=key).text == first.text
    for tool, arguments in (("edit", insert | {"content": "    # two\n"}), ("view", {}), ("test", {})):
        refused = agent.call(tool, arguments, headers=key)
        assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
    assert other.call("test", headers=key).status_code == 202
    seen = agent.get().json()
    assert (seen["revision"], seen["steps"], seen["tests"]) == (1, 1, [])
    assert seen["files"][0]["text"].count("# one") == 1


def test_a_refusal_under_a_key_stays_a_refusal(shared: Server) -> None:
    agent = shared.open()
    early = agent.call("submit", {"n": 1}, headers={"Idempotency-Key": "submit"})
    assert (early.status_code, early.json()["code"]) == (409, "no_results")
    assert agent.call("test").status_code == 202
    busy = agent.call("test", headers={"Idempotency-Key": "test"})
    assert (busy.status_code, busy.json()["code"]) == (409, "test_running")
    assert agent.result(1)["status"] == "succeeded"
    for tool, arguments, before in (("submit", {"n": 1}, early), ("test", {}, busy)):
        again = agent.call(tool, arguments, headers={"Idempotency-Key": tool})
        assert (again.status_code, again.text) == (before.status_code, before.text)
    assert agent.get().json()["budget"]["tests_remaining"] == 2
    submitted = agent.call("submit", {"n": 1}, headers={"Idempotency-Key": "now"})
    assert submitted.status_code == 200
    assert agent.call("submit", {"n": 1}, headers={"Idempotency-Key": "now"}).text == submitted.text
    assert agent.call("submit", {"n": 1}).status_code == 409


@pytest.mark.parametrize("keys", [(), ("--key", "operator")])
def test_a_session_opened_again_under_its_key_is_the_same_session(serve: Serve, keys: tuple[str, ...]) -> None:
    server = serve("--runner", "fake", *keys)
    body = {"task": TASK, "agent": "twin"}

    def opened(key: str, **more: str) -> httpx.Response:
        with server.client(keys[1] if keys else None) as client:
            return client.post("/v1/sessions", json=body | more, headers={"Idempotency-Key": key.ljust(20, "-")})

    first = opened("a")
    assert first.status_code == 201
    assert opened("a").text == first.text
    server.kill()
    server.start()
    assert opened("a").text == first.text
    other = opened("b").json()
    assert other["session_id"] != first.json()["session_id"]
    assert other["token"] != first.json()["token"]
    refused = opened("a", agent="somebody-else")
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
