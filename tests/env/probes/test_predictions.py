"""How well probes predicted tests, on a task's page and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, text

if TYPE_CHECKING:
    from tests.support.service import Agent, Server

NOT_KNOWN = "Not known yet: no session has both probed and tested two codes."


def predictions(server: Server, task: str = "proxied") -> list[dict[str, Any]]:
    with server.client() as client:
        answer = client.get(f"/v1/tasks/{task}/probes")
    assert answer.status_code == 200, answer.text
    assert answer.json()["task_id"] == task
    found: list[dict[str, Any]] = answer.json()["predictions"]
    return found


def page(server: Server, task: str = "proxied") -> str:
    with server.client() as client:
        answer = client.get(f"/tasks/{task}")
    assert answer.status_code == 200, answer.text
    return answer.text


def try_out(agent: Agent, number: int, *tools: str) -> None:
    """Another code, probed or tested."""
    edit = {"op": "insert", "after_line": 22, "content": f"    # code {number}\n"}
    assert agent.call("edit", edit).status_code == 200
    for tool in tools:
        answer = agent.post(f"/{tool}", json={}, params={"wait": 60}).json()
        assert answer[tool]["status"] == "succeeded", answer["observation"]


@pytest.fixture
def change(server: Server) -> Iterator[Callable[[str, dict[str, Any]], None]]:
    """Runs a statement in the service's database."""
    engine = create_engine(server.database)

    def execute(statement: str, values: dict[str, Any]) -> None:
        with engine.begin() as conn:
            assert conn.execute(text(statement), values).rowcount == 1

    yield execute
    engine.dispose()


def test_nothing_is_known_before_a_session_has_done_both_with_two_codes(server: Server) -> None:
    one, other = server.open("proxied"), server.open("proxied")
    assert (predictions(server), NOT_KNOWN in page(server)) == ([], True)
    try_out(one, 1, "probe", "test")
    try_out(one, 2, "probe")
    try_out(one, 3, "test")
    try_out(other, 4, "probe", "test")
    assert (predictions(server), NOT_KNOWN in page(server)) == ([], True)


def test_pairs_that_kept_their_order_are_counted(server: Server, change: Callable[[str, dict[str, Any]], None]) -> None:
    agent, other = server.open("proxied"), server.open("proxied")
    for number in (1, 2, 3):
        try_out(agent, number, "probe", "test")
    try_out(other, 4, "probe", "test")
    told = {"scale": "smoke", "proxy": "tiny", "runner": "fake", "sessions": 1}
    # Invented losses are the same at both scales.
    assert predictions(server) == [told | {"pairs": 3, "kept": 3, "share": 1.0}]
    shown = page(server)
    assert "How well did probes predict?" in shown
    assert '<td>fake (invented)</td><td class="n">1</td><td class="n">3</td><td class="n">3 (100 %)</td>' in shown
    assert NOT_KNOWN not in shown

    best = json.dumps({"val_loss": 0.5})
    worst = max((1, 2, 3), key=lambda n: agent.get(f"/probes/{n}").json()["metrics"]["val_loss_gpt-tiny"])
    where = "session_id = :session AND n = :n AND position = 1"
    change(f"UPDATE runs SET metrics = :best WHERE {where}", {"best": best, "session": agent.id, "n": -worst})
    assert predictions(server) == [told | {"pairs": 3, "kept": 1, "share": 0.3333}]
    assert "1 (33 %)" in page(server)


def test_a_code_that_was_probed_twice_counts_once(server: Server) -> None:
    agent = server.open("proxied")
    try_out(agent, 1, "probe", "probe", "test", "test")
    assert predictions(server) == []
    try_out(agent, 2, "probe", "test")
    assert [(one["pairs"], one["kept"]) for one in predictions(server)] == [(1, 1)]


def test_a_task_without_probes_says_nothing_of_them(server: Server) -> None:
    assert "robe" not in page(server, "quick")
    assert predictions(server, "quick") == []
    assert NOT_KNOWN in page(server, "llm-pretrain-mlp")
    with server.client() as client:
        assert client.get("/v1/tasks/nope/probes").status_code == 404
