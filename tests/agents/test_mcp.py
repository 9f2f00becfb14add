"""The service as an MCP server, through the protocol's own client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import jsonschema
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from tests.support.service import TASK, Serve, Server
from tests.support.waiting import Deadline

SLOW = {"op": "replace", "start_line": 246, "end_line": 246, "content": "    # fake: seconds=20"}
ERAS = ("legacy", "auto")
KEY = "operator-key-0123456789"


def connected(url: str, use: Callable[[Client], Awaitable[Any]], era: str = "auto", **headers: str) -> Any:
    """What `use` makes of a client."""

    async def run() -> Any:
        async with (
            httpx2.AsyncClient(headers=headers, timeout=60, verify=False) as http,
            Client(streamable_http_client(f"{url}/mcp", http_client=http), mode=era) as client,
        ):
            return await use(client)

    return asyncio.run(run())


async def told(client: Client, tool: str, **arguments: Any) -> Any:
    """The structured content of an answer, after making sure that its text says the same."""
    result = await client.call_tool(tool, arguments)
    assert result.content[0].text == result.structured_content["observation"]
    assert result.is_error is not result.structured_content["ok"]
    return result.structured_content


async def over(client: Client, token: str) -> Any:
    """The answer of `test_status`, once the test is over."""
    deadline = Deadline(280)
    while (seen := await told(client, "test_status", token=token))["test"]["ended_at"] is None:
        deadline.check("for the end of the test")
        assert "Its result: test_status()" in seen["observation"]
    return seen


@pytest.mark.parametrize("era", ERAS)
def test_an_agent_edits_checks_tests_and_submits(shared: Server, era: str) -> None:
    connected(shared.url, lambda client: played(client, f"mcp-{era}"), era)
    with shared.client() as client:
        rows = client.get(f"/v1/leaderboards/{TASK}", params={"agent": f"mcp-{era}"}).json()["rows"]
    assert [row["status"] for row in rows] == ["succeeded"]


async def played(client: Client, agent: str) -> None:
    tasks = await told(client, "list_tasks")
    assert TASK in [one["id"] for one in tasks["tasks"]]
    opened = await told(client, "open_session", task=TASK, agent=agent)
    assert "    22: class LayerNorm(nn.Module):" in opened["observation"]
    token = opened["token"]
    assert token in opened["observation"]
    edited = await told(client, "edit", token=token, op="str_replace", old_str="1e-5)", new_str="1e-6)")
    assert edited["observation"].startswith("OK: Replaced")
    assert (await told(client, "view", token=token, start_line=22, end_line=31))["ok"]
    checked = await told(client, "check", token=token)
    assert checked["observation"].startswith("[check] Passed")
    queued = await told(client, "test", token=token)
    assert queued["observation"] == (
        "[Test #1] queued (2 tests remaining). Its result: test_status(), until the status is final."
    )
    seen = await over(client, token)
    assert seen["test"]["status"] == "succeeded"
    assert "Final metrics (gpt-smoke): val_loss_gpt-smoke=" in seen["observation"]
    assert seen["test"]["metrics"]["val_loss_gpt-smoke"] > 0
    submitted = await told(client, "submit", token=token, n=1)
    assert "[submit] Finalized test #1 as final." in submitted["observation"]


@pytest.mark.parametrize("era", ERAS)
def test_progress_is_told_to_a_client_that_asks(shared: Server, era: str) -> None:
    figures: list[tuple[float, float | None, str | None]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        figures.append((progress, total, message))

    async def play(client: Client) -> None:
        token = (await told(client, "open_session", task=TASK, agent="x"))["token"]
        slow = SLOW | {"content": "    # fake: seconds=2"}
        await told(client, "edit", token=token, **slow)
        await told(client, "test", token=token)
        result = await client.call_tool("test_status", {"token": token}, progress_callback=note)
        assert result.structured_content["test"]["status"] == "succeeded"

    connected(shared.url, play, era)
    steps = [progress for progress, _, _ in figures]
    assert len(steps) > 3
    assert steps == sorted(set(steps))
    assert figures[-1][1] == 200
    assert "val_loss" in str(figures[-1][2])


@pytest.mark.parametrize("era", ERAS)
def test_a_client_that_times_out_interrupts_no_test(shared: Server, era: str) -> None:
    async def start(client: Client) -> str:
        token = (await told(client, "open_session", task=TASK, agent="x"))["token"]
        await told(client, "edit", token=token, **(SLOW | {"content": "    # fake: seconds=1"}))
        await told(client, "test", token=token)
        with pytest.raises(MCPError):
            await client.call_tool("test_status", {"token": token}, read_timeout_seconds=0.3)
        return str(token)

    token = connected(shared.url, start, era)

    async def return_later(client: Client) -> None:
        seen = await over(client, token)
        assert seen["test"]["status"] == "succeeded"
        assert seen["test"]["n"] == 1
        await told(client, "submit", token=token, n=1)

    connected(shared.url, return_later, era)


def test_an_interrupted_check_is_counted_and_told(shared: Server) -> None:
    async def play(client: Client) -> Any:
        token = (await told(client, "open_session", task=TASK, agent="x"))["token"]
        await told(client, "edit", token=token, **(SLOW | {"content": "    # fake: evaluate.seconds=1.5"}))
        with pytest.raises(MCPError):
            await client.call_tool("check", {"token": token}, read_timeout_seconds=0.3)
        assert (await told(client, "check", token=token))["code"] == "check_running"
        again = await told(client, "check_status", token=token)
        assert again["observation"].startswith("[check] Passed after")
        return again["check"]

    assert connected(shared.url, play) == {"passed": True, "checks_remaining": 9}


def test_refusals_are_tool_errors_with_the_words_of_http(shared: Server, subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, dict[str, Any]]] = [
        ("edit", {"op": "replace", "start_line": 1, "end_line": 15, "content": "import os\n"}),
        ("edit", {"op": "move"}),
        ("edit", {"start_line": "22"}),
        ("edit", {"line": 3}),
        ("view", {"filename": "other.py"}),
        ("undo", {}),
        ("test", {"n": 1}),
        ("submit", {"n": 1}),
        ("submit", {}),
    ]
    agent = shared.open()

    async def play(client: Client) -> None:
        for tool, arguments in cases:
            with subtests.test(tool=tool, arguments=repr(arguments)):
                answer = agent.post(
                    f"/{tool}", content=json.dumps(arguments), headers={"Content-Type": "application/json"}
                )
                result = await client.call_tool(tool, arguments | {"token": agent.token})
                body = answer.json()
                assert result.is_error is (answer.status_code >= 400)
                assert result.structured_content["code"] == body["code"]
                assert result.content[0].text == body["observation"].encode("utf-8", "backslashreplace").decode()

    connected(shared.url, play)


def test_whoever_has_no_token_is_told_where_to_get_one(shared: Server) -> None:
    agent = shared.open()

    async def play(client: Client) -> None:
        assert (await told(client, "view"))["code"] == "token_required"
        assert (await told(client, "view", token="secret"))["code"] == "bad_token"
        assert (await told(client, "view", token=agent.token + "x"))["code"] == "wrong_token"
        assert (await told(client, "view", token="rf_00_" + "x" * 43))["code"] == "unknown_session"
        assert (await told(client, "view", token=3))["code"] == "invalid_arguments"
        assert (await told(client, "test_status", token=agent.token))["code"] == "no_results"
        assert (await told(client, "test_status", token=agent.token, wait_s=26))["code"] == "invalid_arguments"
        assert (await told(client, "reset", token=agent.token))["code"] == "unknown_tool"
        assert (await told(client, "open_session", task="nope", agent="x"))["code"] == "unknown_task"

    connected(shared.url, play)
    assert agent.get().json()["steps"] == 0


def test_the_token_may_come_as_a_header(shared: Server) -> None:
    agent, other = shared.open(), shared.open()

    async def play(client: Client) -> None:
        assert (await told(client, "edit", **SLOW))["ok"]
        assert (await told(client, "edit", token=other.token, **SLOW))["ok"]

    connected(shared.url, play, Authorization=f"Bearer {agent.token}")
    assert [one.get().json()["revision"] for one in (agent, other)] == [1, 1]


def test_the_tools_are_those_of_every_other_way_in(shared: Server) -> None:
    async def play(client: Client) -> dict[str, Any]:
        return {tool.name: tool for tool in (await client.list_tools()).tools}

    listed = connected(shared.url, play)
    functions = {tool["function"]["name"]: tool["function"] for tool in shared.open().opened["tools"]}
    assert set(listed) == {*functions, "probe", "list_tasks", "open_session", "check_status", "test_status"}
    for tool in listed.values():
        jsonschema.Draft202012Validator.check_schema(tool.input_schema)
    for name, function in functions.items():
        own = {key: value for key, value in listed[name].input_schema["properties"].items() if key != "token"}
        assert listed[name].input_schema | {"properties": own} == function["parameters"]
        assert listed[name].description == function["description"]
    assert set(listed["test"].input_schema["properties"]) == {"token"}


def test_a_foreign_host_is_refused_on_loopback_only(shared: Server, serve: Serve) -> None:
    """A page whose name is made to point here must not open sessions; a service with keys may have any name."""
    open_service, kept = shared, serve("--runner", "fake", "--host", "0.0.0.0", "--key", KEY)
    kept_url = kept.url.replace("0.0.0.0", "127.0.0.1")

    async def play(client: Client) -> Any:
        return await told(client, "open_session", task=TASK, agent="x")

    assert connected(kept_url, play, Host="bench.example.org", Authorization=f"Bearer {KEY}")["ok"]
    assert connected(kept_url, play, Host="bench.example.org")["code"] == "operator_key_required"
    assert connected(open_service.url, play, Host="localhost")["ok"]
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    accepted = {"Accept": "application/json, text/event-stream"}
    with open_service.client() as client:
        assert client.post("/mcp", json=call, headers=accepted).status_code == 200
        assert client.post("/mcp", json=call, headers=accepted | {"Host": "evil.example"}).status_code == 403
        assert client.post("/mcp", json=call, headers=accepted | {"Origin": "http://evil.example"}).status_code == 403


def test_bad_input_is_never_a_server_error(shared: Server, subtests: pytest.Subtests) -> None:
    bodies: tuple[bytes, ...] = (
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"jsonrpc": "2.0"}',
        b" " * (2 << 20),
    )
    calls: tuple[Any, ...] = (
        {"name": "edit", "arguments": []},
        {"name": 3},
        {"name": "edit", "arguments": {"token": {}}},
        {"name": "\ud800", "arguments": {"\ud800": "\ud800"}},
        {"name": "test_status", "arguments": {"wait_s": 1e400}},
        {"name": "edit", "arguments": SLOW | {"content": "\ud800", "token": shared.open().token}},
        {},
        None,
    )
    requests = [
        json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": one}).encode() for one in calls
    ]
    headers = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
    with shared.client() as client:
        for content in (*bodies, *requests):
            for version in ("2025-11-25", "2026-07-28", "1999-01-01"):
                with subtests.test(content=content[:80], version=version):
                    answer = client.post("/mcp", content=content, headers=headers | {"MCP-Protocol-Version": version})
                    assert answer.status_code < 500
        for method in ("GET", "DELETE", "PUT"):
            refused = client.request(method, "/mcp", headers=headers)
            assert refused.status_code == 405
            assert refused.headers["Allow"] == "POST"
            assert refused.json()["code"] == "method_not_allowed"
    assert "Traceback" not in shared.log()
