"""A test's server-sent events: what comes, in which order, and for everyone who listens."""

from __future__ import annotations

import json
from typing import Any

from tests.support.service import Agent, Server
from tests.support.waiting import threads

EDIT = {"op": "replace", "start_line": 246, "end_line": 246}

Event = tuple[str, dict[str, Any]]


def test_events_come_in_order_to_every_reader(shared: Server) -> None:
    agent = shared.open()
    agent.call("edit", EDIT | {"content": "    # fake: seconds=1\n"})
    agent.call("test")
    with threads(3) as pool:
        streams = list(pool.map(lambda _: _events(agent, 1), range(3)))
    for events in streams:
        names = [name for name, _ in events]
        statuses = [data["status"] for name, data in events if name == "status"]
        assert statuses in (["queued", "running", "succeeded"], ["running", "succeeded"])
        assert names[0] == "status"
        assert names[-1] == "result"
        assert names.index("metrics") > 0
        assert names.count("result") == 1
        steps = [data["step"] for name, data in events if name == "metrics"]
        assert steps == list(range(10, 201, 10))
        assert events[-1][1] == agent.get("/tests/1").json()


def test_metrics_are_told_while_the_test_runs(shared: Server) -> None:
    agent = shared.open()
    agent.call("edit", EDIT | {"content": "    # fake: seconds=20\n"})
    agent.call("test")
    with agent._server.client(agent.token) as client:
        with client.stream("GET", f"/v1/sessions/{agent.id}/tests/1/events") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            names = (line for line in stream.iter_lines() if line.startswith("event: metrics"))
            next(names)
            assert client.get(f"/v1/sessions/{agent.id}/tests/1").json()["status"] == "running"
        # The reader is gone; the test goes on.
        assert client.get(f"/v1/sessions/{agent.id}/tests/1").json()["status"] == "running"
    assert agent.post("/tests/1/cancel").json()["status"] == "cancelled"


def test_the_events_of_a_test_that_is_over_are_told_again(shared: Server) -> None:
    agent = shared.open()
    agent.post("/test?wait=30")
    events = _events(agent, 1)
    assert [name for name, _ in events] == ["status", *["metrics"] * 20, "result"]
    assert events[0][1] == {"n": 1, "status": "succeeded"}


def test_losses_that_are_not_finite_are_null(shared: Server) -> None:
    agent = shared.open()
    agent.call("edit", EDIT | {"content": "    # fake: nan\n"})
    agent.call("test")
    events = _events(agent, 1)
    assert events[-1][1]["status"] == "diverged"
    assert [data["val_loss"] is None for name, data in events if name == "metrics"] == [False] * 10 + [True] * 10


def test_a_run_that_is_tried_again_voids_the_points_of_its_attempt_before(shared: Server) -> None:
    agent = shared.open()
    agent.call("edit", EDIT | {"content": "    # fake: lost\n    # fake: seconds=1\n"})
    agent.call("test")
    events = _events(agent, 1)
    told = [(name, data.get("attempt")) for name, data in events if name in ("metrics", "reset")]
    assert told == [("metrics", 1)] * 10 + [("reset", 2)] + [("metrics", 2)] * 10
    assert next(data for name, data in events if name == "reset")["points"] == 0
    assert len(events[-1][1]["progress"]["series"]) == 10


def test_no_proxy_is_to_hold_events_back(shared: Server) -> None:
    agent = shared.open()
    agent.post("/test?wait=30")
    with agent._server.client(agent.token) as client:
        headers = client.get(f"/v1/sessions/{agent.id}/tests/1/events").headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-accel-buffering"] == "no"


def _events(agent: Agent, n: int) -> list[Event]:
    """Name and data of each event until the stream ends."""
    events: list[Event] = []
    where = f"/v1/sessions/{agent.id}/tests/{n}/events"
    with agent._server.client(agent.token) as client, client.stream("GET", where) as stream:
        assert stream.status_code == 200
        for block in "".join(stream.iter_text()).split("\n\n"):
            if block and not block.startswith(":"):
                name, data = block.split("\n")
                events.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return events


def test_head_tells_what_get_would_without_its_body(shared: Server) -> None:
    """A stream of events is broken off, though its test goes on."""
    agent = shared.open()
    agent.call("edit", EDIT | {"content": "    # fake: seconds=20\n"})
    agent.call("test")
    own = f"/v1/sessions/{agent.id}"
    paths = ("/healthz", "/v1/tasks", "/", f"{own}/tests/1/events", f"{own}/tests/9", "/nowhere", "/metrics")
    with agent._server.client(agent.token) as client:
        for path in paths:
            head = client.head(path, timeout=10)
            with client.stream("GET", path) as got:
                assert (head.status_code, head.content) == (got.status_code, b"")
                assert head.headers["Content-Type"] == got.headers["Content-Type"]
        seen = client.get("/metrics").text
    assert 'method="HEAD",route="/v1/sessions/{session_id}/tests/{n}/events",status="200"' in seen
    agent.post("/tests/1/cancel")
