"""A well-formed tool call takes a shorter way through the service than any other; nobody can tell from the answer."""

from __future__ import annotations

import json

import pytest

from tests.support.service import Server

REPLACE = {"op": "replace", "start_line": 22, "end_line": 31, "content": "class LayerNorm:\n    pass\n"}
WAYS = ("application/json", "application/json; charset=utf-8")
"""Media types: the second goes the longer way."""
CALLS = {
    "replace": ("edit", json.dumps(REPLACE)),
    "outside the fence": ("edit", json.dumps(REPLACE | {"start_line": 1})),
    "numbers as texts": ("edit", json.dumps(REPLACE | {"start_line": "22"})),
    "numbers as fractions": ("edit", json.dumps(REPLACE | {"start_line": 22.0})),
    "unknown argument": ("edit", json.dumps(REPLACE | {"line": 3})),
    "unknown op": ("edit", json.dumps(REPLACE | {"op": "move"})),
    "lone surrogate": ("edit", json.dumps(REPLACE | {"content": "\ud800"})),
    "an argument twice": ("edit", '{"op": "insert", "after_line": 3, "after_line": 22, "content": "x"}'),
    "other encoding": ("edit", json.dumps(REPLACE).encode("utf-16")),
    "not UTF-8": ("edit", b'{"op": "insert", "after_line": 22, "content": "\xff"}'),
    "not JSON": ("edit", "{"),
    "not an object": ("edit", "[]"),
    "deeply nested": ("edit", "[" * 100_000),
    "too long": ("edit", json.dumps(REPLACE | {"content": "x" * (1 << 20)})),
    "null": ("view", "null"),
    "nothing": ("view", ""),
    "view": ("view", '{"start_line": 1, "end_line": 2}'),
    "undo nothing": ("undo", "{}"),
    "submit nothing": ("submit", '{"n": 1}'),
}


@pytest.mark.parametrize("call", CALLS)
def test_both_ways_give_the_same_answer(shared: Server, call: str) -> None:
    tool, content = CALLS[call]
    answers = []
    for media_type in WAYS:
        agent = shared.open()
        answer = agent.post(f"/{tool}", content=content, headers={"Content-Type": media_type})
        steps = agent.get("/trajectory").json()["steps"]
        answers.append((answer.status_code, answer.json(), [step | {"at": ""} for step in steps]))
    assert answers[0] == answers[1]
    assert answers[0][0] < 500


@pytest.mark.parametrize("media_type", WAYS)
def test_both_ways_ask_for_the_sessions_own_token(shared: Server, media_type: str) -> None:
    agent, other = shared.open(), shared.open()
    headers = {"Content-Type": media_type}
    for token, status in ((None, 401), (other.token, 403)):
        with shared.client(token) as client:
            answer = client.post(f"/v1/sessions/{agent.id}/edit", content=json.dumps(REPLACE), headers=headers)
        assert answer.status_code == status
    assert agent.get().json()["revision"] == 0
