"""SIGTERM: the service leaves within seconds, whoever is connected; its runs go on and are finished after a start."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx

from tests.support.waiting import threads

if TYPE_CHECKING:
    from tests.env.durability.conftest import TaskFolder
    from tests.support.service import Agent, Serve, Server

TWO_SECONDS = """\
echo "TRAIN_METRICS: step=1, train_loss=3.0, val_loss=3.0"
sleep 2
echo '{"metrics": {"val_loss": 2.5}}' > "$OUT_DIR/metrics.json"
"""


def events(server: Server, agent: Agent, seen: list[str]) -> list[str]:
    """Names of the events but for progress until the stream ends, however it ends; `seen` holds them as they come."""
    try:
        with (
            server.client(agent.token) as client,
            client.stream("GET", f"/v1/sessions/{agent.id}/tests/1/events") as stream,
        ):
            for line in stream.iter_lines():
                if line.startswith("event: ") and line != "event: progress":
                    seen.append(line.removeprefix("event: "))
    except httpx.TransportError:
        seen.append("broken off")
    return seen


def held(agent: Agent) -> str:
    """The test's status, in an answer that is held as long as it may be."""
    answer = agent.get("/tests/1", params={"wait": 60})
    assert answer.status_code == 200, answer.text
    status: str = answer.json()["status"]
    return status


def test_a_stop_takes_seconds_and_a_start_finishes_what_was_running(
    serve_local: Callable[[int], Server],
    tiny: TaskFolder,
    rows: Callable[..., list[dict[str, Any]]],
    eventually: Callable[..., None],
    nothing_left: Callable[[Server], None],
) -> None:
    tiny.write().stage("only", TWO_SECONDS)
    server = serve_local(1)
    agent, queued = server.open("tiny"), server.open("tiny")
    for one in (agent, queued):
        assert one.call("test").status_code == 202
    with threads(2) as pool:
        seen: list[str] = []
        streaming, waiting = pool.submit(events, server, agent, seen), pool.submit(held, agent)
        eventually(lambda: seen == ["status", "metrics"])
        time.sleep(0.3)  # for the held request to be on its way: nothing tells that it is
        begin = time.monotonic()
        server.stop()
        took = time.monotonic() - begin
        assert streaming.result(5) == ["status", "metrics"]
        assert waiting.result(5) == "running"
    assert took < 2, f"the stop took {took:.1f} s"
    server.start()
    assert [one.result(1)["status"] for one in (agent, queued)] == ["succeeded"] * 2
    assert events(server, agent, [])[-1] == "result"
    assert tiny.executions() == [f"{one.id}-1-0-0" for one in (agent, queued)]
    assert len(rows(server)) == 2
    nothing_left(server)
    assert "Traceback" not in server.log()


def test_an_idle_service_stops_at_once(serve: Serve) -> None:
    server = serve("--runner", "fake")
    server.open()
    begin = time.monotonic()
    server.stop()
    assert time.monotonic() - begin < 2
