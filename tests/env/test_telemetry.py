"""What an operator sees from outside: figures that add up, and logs that tell all but secrets."""

from __future__ import annotations

import json
import re
import socket
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.service import Serve, Server

EDIT = {"op": "str_replace", "old_str": "1e-5)", "new_str": "1e-6)"}


def figures(server: Server) -> dict[tuple[str, ...], float]:
    """Sample name and sorted labels to value."""
    with server.client() as client:
        answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def count(seen: dict[tuple[str, ...], float], method: str, route: str, status: int) -> float:
    labels = (f"method={method}", f"route={route}", f"status={status}")
    return seen.get(("ringfence_request_seconds_count", *labels), 0)


def test_a_session_and_its_test_are_counted(serve: Serve) -> None:
    server = serve("--runner", "fake", "--slots", "3")
    before = figures(server)
    assert before["ringfence_sessions_total",] == 0
    assert before["ringfence_devices", "kind=slot", "state=free"] == 3
    agent = server.open()
    for _ in range(2):
        agent.call("edit", EDIT)  # the second finds nothing to replace
    agent.call("test")
    agent.result(1)
    seen = figures(server)
    route = "/v1/sessions/{session_id}"
    assert count(seen, "POST", "/v1/sessions", 201) == 1
    assert count(seen, "POST", f"{route}/edit", 200) == 1
    assert count(seen, "POST", f"{route}/edit", 422) == 1
    assert count(seen, "POST", f"{route}/test", 202) == 1
    assert count(seen, "GET", "/metrics", 200) == 1
    assert seen["ringfence_sessions_total",] == 1
    assert seen["ringfence_refunds_total",] == 0
    assert seen["ringfence_tests", "status=succeeded"] == 1
    assert seen["ringfence_tests", "status=queued"] == seen["ringfence_tests", "status=running"] == 0
    ended = {key[1:]: value for key, value in seen.items() if key[0] == "ringfence_stage_seconds_count"}
    assert ended == {
        ("part=training", "stage=gpt-smoke", "status=succeeded"): 1,
        ("part=evaluation", "stage=gpt-smoke", "status=succeeded"): 1,
        ("part=evaluation", "stage=lm-eval-smoke", "status=succeeded"): 1,
    }


def test_a_running_test_holds_a_device_and_a_cancelled_waiting_one_is_refunded(serve: Serve) -> None:
    server = serve("--runner", "fake", "--slots", "1")
    first, second = server.open(), server.open()
    slow = {"op": "str_replace", "old_str": "class LayerNorm", "new_str": "# fake: hang\nclass LayerNorm"}
    for agent in (first, second):
        assert agent.call("edit", slow).status_code == 200
        agent.call("test")
    while first.get("/tests/1").json()["status"] == "queued":
        pass
    seen = figures(server)
    assert seen["ringfence_tests", "status=running"] == seen["ringfence_tests", "status=queued"] == 1
    assert seen["ringfence_devices", "kind=slot", "state=leased"] == 1
    second.post("/tests/1/cancel")
    first.post("/tests/1/cancel")
    assert {first.result(1)["status"], second.result(1)["status"]} == {"cancelled"}
    seen = figures(server)
    assert seen["ringfence_refunds_total",] == 1
    assert seen["ringfence_tests", "status=cancelled"] == 2


def test_totals_outlive_the_process(serve: Serve) -> None:
    server = serve("--runner", "fake")
    server.open()
    server.kill()
    server.start()
    assert figures(server)["ringfence_sessions_total",] == 1


def test_callers_cannot_make_up_labels(serve: Serve) -> None:
    server = serve("--runner", "fake")
    with server.client() as client:
        for n in range(5):
            client.get(f"/made/up/{n}")
            client.request(f"MADE{n}", "/healthz")
            client.get(f"/v1/sessions/{n}{n}")
    seen = figures(server)
    assert count(seen, "GET", "unmatched", 404) == 5
    assert count(seen, "GET", "/v1/sessions/{session_id}", 404) == 5
    assert len([key for key in seen if key[0] == "ringfence_request_seconds_count"]) <= 4
    assert not any("MADE" in part for key in seen for part in key)


def logged(server: Server) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.log().splitlines()]


def test_json_logs_tell_requests_and_tests(serve: Serve) -> None:
    server = serve("--runner", "fake", "--log-format", "json")
    agent = server.open()
    agent.call("edit", EDIT)
    agent.call("test")
    agent.result(1)
    server.stop()
    lines = logged(server)
    assert all({"at", "level", "logger", "event"} <= line.keys() for line in lines)
    edit = next(line for line in lines if line.get("route", "").endswith("/edit"))
    assert (edit["method"], edit["status"], edit["session"]) == ("POST", 200, agent.id)
    assert 0 < edit["ms"] < 10_000
    events = [line for line in lines if line["logger"] == "ringfence.tests"]
    assert [line["event"] for line in events] == ["test started", *["stage ended"] * 3, "test ended"]
    assert {(line["session"], line["test"]) for line in events} == {(agent.id, 1)}
    assert events[-1]["status"] == "succeeded"
    assert agent.token not in server.log()


def test_text_logs_have_a_line_for_each_request(serve: Serve) -> None:
    server = serve("--runner", "fake", "--log-format", "text", "--key", "operators-secret")
    with server.client("operators-secret") as client:
        opened = client.post("/v1/sessions", json={"task": "llm-pretrain-loss", "agent": "a"}).json()
        client.get("/healthz")
    with server.client(opened["token"]) as client:
        client.get(f"/v1/sessions/{opened['session_id']}")
        client.get(f"/v1/sessions/{opened['token']}")  # a caller's mistake
    server.stop()
    lines = server.log().splitlines()
    assert len(lines) == 4
    pattern = r"\S+Z INFO ringfence\.requests request method=\w+ route=\S+ status=\d{3} ms=[\d.]+( session=\w+)?"
    assert all(re.fullmatch(pattern, line) for line in lines), lines
    assert f"session={opened['session_id']}" in lines[2]
    assert "operators-secret" not in server.log()
    assert opened["token"] not in server.log()


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_a_caller_sends_cannot_forge_a_line(serve: Serve, form: str) -> None:
    server = serve("--runner", "fake", "--log-format", form)
    host, port = server.url.removeprefix("http://").split(":")
    for target in ("/v1/sessions/a%0a2026%20INFO%20forged", "/v1/sessions/%1b%5b31mred", "/x%0aforged"):
        with socket.create_connection((host, int(port)), timeout=20) as raw:
            raw.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            while raw.recv(4096):
                pass
    server.stop()
    assert len(server.log().splitlines()) == 3
    assert "forged" not in server.log()
    assert "\x1b" not in server.log()


def test_without_a_format_only_trouble_is_logged(serve: Serve) -> None:
    server = serve("--runner", "fake")
    agent = server.open()
    agent.call("test")
    agent.result(1)
    server.stop()
    assert server.log() == ""
