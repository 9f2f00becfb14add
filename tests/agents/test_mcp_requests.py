"""MCP requests as clients that are not the protocol's own library send them."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.support.service import TASK, Server

BOTH = "application/json, text/event-stream"
OPEN = {"task": TASK, "agent": "raw"}


def ask(server: Server, method: str, params: dict[str, Any], path: str = "/mcp", **headers: str) -> httpx.Response:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    with server.client() as client:
        del client.headers["Accept"]  # the library's own
        return client.post(path, json=body, headers={"Accept": BOTH} | headers)


def answered(response: httpx.Response) -> dict[str, Any]:
    """The message, from a stream or as it is."""
    assert response.status_code == 200, response.text
    text = response.text
    if response.headers["content-type"].startswith("text/event-stream"):
        [text] = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    message: dict[str, Any] = json.loads(text)
    return message


def call(server: Server, name: str, arguments: object, *, meta: object = None, **headers: str) -> dict[str, Any]:
    """The structured content."""
    params = {"name": name, "arguments": arguments} | ({} if meta is None else {"_meta": meta})
    result = answered(ask(server, "tools/call", params, **headers))["result"]
    assert result["isError"] is not result["structuredContent"]["ok"]
    found: dict[str, Any] = result["structuredContent"]
    return found


@pytest.mark.parametrize("path", ["/mcp", "/mcp/"])
@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (BOTH, "text/event-stream"),
        ("*/*", "text/event-stream"),
        ("text/event-stream", "text/event-stream"),
        ("application/json;q=0.9, Text/Event-Stream;q=0.1", "text/event-stream"),
        ("application/json", "application/json"),
        ("text/html", "application/json"),
        ("", "application/json"),
    ],
)
def test_whatever_a_client_accepts_it_is_answered(shared: Server, path: str, accept: str, kind: str) -> None:
    response = ask(shared, "tools/list", {}, path, Accept=accept)
    assert response.headers["content-type"].startswith(kind)
    assert {"edit", "test", "submit"} <= {tool["name"] for tool in answered(response)["result"]["tools"]}


@pytest.mark.parametrize(
    ("method", "empty"),
    [
        ("resources/list", {"resources": []}),
        ("resources/templates/list", {"resourceTemplates": []}),
        ("prompts/list", {"prompts": []}),
    ],
)
def test_what_is_not_offered_is_an_empty_list(shared: Server, method: str, empty: dict[str, Any]) -> None:
    assert answered(ask(shared, method, {}))["result"] == empty


@pytest.mark.parametrize("arguments", [OPEN, json.dumps(OPEN), OPEN | {"scale": ""}, OPEN | {"scale": None}])
def test_arguments_may_be_the_text_of_an_object_and_optional_ones_empty(shared: Server, arguments: object) -> None:
    assert call(shared, "open_session", arguments)["task"] == TASK


@pytest.mark.parametrize("arguments", [None, "", "null", "[]", "{", [], 5, "task=x", [OPEN]])
def test_arguments_that_are_none_are_answered_in_words(shared: Server, arguments: object) -> None:
    told = call(shared, "open_session", arguments)
    assert told["code"] == "invalid_arguments"
    assert "Allowed arguments: task, agent, scale." in told["observation"]


@pytest.mark.parametrize("arguments", [None, "", "{}", {}])
def test_tools_without_arguments_take_none_in_any_form(shared: Server, arguments: object) -> None:
    assert call(shared, "list_tasks", arguments)["ok"]


def test_a_call_is_repeated_under_its_key(shared: Server) -> None:
    token = call(shared, "open_session", OPEN)["token"]
    edit = {"token": token, "start_line": "246", "end_line": "246", "content": "    # fake: seconds=2"}
    for _ in range(2):
        assert call(shared, "edit", edit, meta={"idempotency_key": "the edit"})["revision"] == 1
    first, second = (call(shared, "test", {"token": token}, **{"Idempotency-Key": "the test"}) for _ in range(2))
    assert first == second
    assert first["test"]["tests_remaining"] == 2
    other = call(shared, "submit", {"token": token, "n": 1}, meta={"idempotency_key": "the edit"})
    assert not other["ok"]  # the key of another call
    assert call(shared, "test_status", {"token": token, "wait_s": None})["test"]["status"] == "succeeded"
    assert call(shared, "submit", {"token": token, "n": "1"})["ok"]
