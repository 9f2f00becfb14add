"""Probes as durable as tests: a budget that is spent exactly, and SIGKILL at any moment of them."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.tasks import write_proxied_task
from tests.support.waiting import threads, until

if TYPE_CHECKING:
    from tests.env.durability.conftest import Persistent, TaskFolder
    from tests.support.service import Agent, Serve, Server

Rows = Callable[..., list[dict[str, Any]]]
PROXY = """\
[scales.small]
world_size = 1
[[scales.small.stages]]
label = "small"
script = "{script}"
role = "evaluate"
"""
SOME_TIME = """\
sleep 0.$((RANDOM % 9 + 1))
echo "TRAIN_METRICS: step=1, train_loss=3.0, val_loss=3.0"
sleep 0.$((RANDOM % 3 + 1))
echo '{"metrics": {"val_loss": 2.5}}' > "$OUT_DIR/metrics.json"
"""


def with_probes(tiny: TaskFolder, probes: int) -> None:
    """The small task with a proxy of one stage, which runs the same script as its tests' `first`."""
    file = tiny.path / "task.toml"
    text = file.read_text().replace("[budget]\n", f"[budget]\nprobes = {probes}\n")
    text = text.replace("[scales.smoke]\n", '[scales.smoke]\nprobe = "small"\n')
    file.write_text(text + PROXY.format(script="first.sh"))


def test_fifty_calls_at_once_spend_exactly_what_is_left(serve: Serve, tmp_path: Path) -> None:
    folder = write_proxied_task(tmp_path / "proxied", probes=2)
    server = serve("--runner", "fake", "--slots", "1", "--tasks", str(folder))
    agent = server.open("proxied")
    note = {"op": "insert", "after_line": 22, "content": "    # fake: seconds=30\n"}
    assert agent.call("edit", note).status_code == 200
    for n in (1, 2):
        with threads(25) as pool:
            answers = [done.result() for done in [pool.submit(agent.call, "probe") for _ in range(50)]]
        told = Counter((answer.status_code, answer.json().get("code")) for answer in answers)
        refusal = (409, "probe_running") if n < 2 else (429, "probe_budget_exhausted")
        assert told == {(202, None): 1, refusal: 49}
        assert agent.get().json()["budget"]["probes_remaining"] == 2 - n
        if n < 2:
            busy = agent.call("test")
            assert (busy.status_code, busy.json()["code"]) == (409, "probe_running")
        assert agent.post(f"/probes/{n}/cancel").json()["status"] == "cancelled"
    assert agent.call("probe").json()["observation"] == (
        "ERROR: Probe budget exhausted (2/2). What is left are tests, at scale smoke."
    )
    assert agent.get("/probes/3").status_code == 404
    # Those of tests are apart.
    assert agent.get().json()["budget"]["tests_remaining"] == 3
    assert agent.call("test").json()["test"]["n"] == 1
    busy = agent.call("test")
    assert (busy.status_code, busy.json()["code"]) == (409, "test_running")
    assert agent.post("/tests/1/cancel").json()["status"] == "cancelled"


def test_a_call_repeated_under_its_key_gets_the_first_answer_and_spends_once(serve: Serve, tmp_path: Path) -> None:
    server = serve("--runner", "fake", "--tasks", str(write_proxied_task(tmp_path / "proxied")))
    agent = server.open("proxied")
    key = {"Idempotency-Key": "first"}
    with threads(10) as pool:
        together = [done.result() for done in [pool.submit(agent.call, "probe", headers=key) for _ in range(20)]]
    assert {(answer.status_code, answer.text) for answer in together} == {(202, together[0].text)}
    until(lambda: agent.get("/probes/1").json()["ended_at"])
    server.kill()
    server.start()
    again = agent.call("probe", headers=key)
    assert (again.status_code, again.text) == (202, together[0].text)
    waited = agent.call("probe", headers=key, params={"wait": 5}).json()
    assert (waited["probe"]["status"], waited["probe"]["kind"]) == ("succeeded", "probe")
    other = agent.call("test", headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert agent.get().json()["budget"]["probes_remaining"] == 5


def test_every_probe_succeeds_once_however_often_the_service_is_killed(
    serve_local: Callable[[int], Server],
    tiny: TaskFolder,
    persistent: Callable[[Server, Agent], Persistent],
    rows: Rows,
    nothing_left: Callable[[Server], None],
) -> None:
    moments = random.Random(4)
    tiny.write(tests=1).stage("first", SOME_TIME)
    with_probes(tiny, probes=3)
    server = serve_local(2)
    clients = [persistent(server, server.open("tiny")) for _ in range(2)]

    def spend_all(client: Persistent) -> list[dict[str, Any]]:
        results = []
        for n in (1, 2, 3):
            asked = client.post("probe", f"probe-{n}")
            assert (asked.status_code, asked.json()["probe"]["n"]) == (202, n), asked.text
            results.append(client.result(n, "probes"))
        assert client.post("test", "test").status_code == 202
        return [*results, client.result(1)]

    with threads(len(clients)) as pool:
        spending = [pool.submit(spend_all, client) for client in clients]
        kills = 0
        while not all(one.done() for one in spending) and kills < 10:
            time.sleep(moments.uniform(0.1, 0.6))
            server.kill()
            server.start()
            kills += 1
        results = [result for done in spending for result in done.result()]
    assert kills >= 3
    assert [result["status"] for result in results] == ["succeeded"] * 8
    assert [result["metrics"] for result in results] == [*[{"val_loss_small": 2.5}] * 3, {"val_loss_first": 2.5}] * 2
    assert Counter((row["session_id"], row["test"]) for row in rows(server)) == {
        (client.agent.id, 1): 1 for client in clients
    }
    assert Counter(tiny.executions()) == {
        f"{client.agent.id}-{key}-0-0": 1 for client in clients for key in ("p1", "p2", "p3", "1")
    }
    for client in clients:
        budget = client.get()["budget"]
        assert (budget["probes_remaining"], budget["tests_remaining"]) == (0, 0)
    nothing_left(server)


@pytest.mark.slow
def test_a_real_probe_killed_in_the_middle_is_followed_to_its_result(
    serve: Serve,
    tmp_path: Path,
    persistent: Callable[[Server, Agent], Persistent],
    rows: Rows,
    nothing_left: Callable[[Server], None],
) -> None:
    task = write_proxied_task(tmp_path / "proxied")
    server = serve("--runner", "local", "--slots", "1", "--tasks", str(task))
    client = persistent(server, server.open("proxied"))
    assert client.post("probe", "probe").status_code == 202
    # The reference of the proxy, a built-in script at another size, is trained first.
    until(lambda: client.get("/probes/1")["progress"]["series"], 200)
    server.kill()
    server.start()
    result = client.result(1, "probes")
    assert result["status"] == "succeeded", result["observation"]
    assert (result["scale"], result["progress"]["series"][-1]["step"]) == ("tiny", 15)
    assert 1.5 < result["metrics"]["val_loss_gpt-tiny"] < 5.6
    assert "Certificate: val_loss " in result["observation"]
    assert rows(server, "proxied") == []
    assert client.get()["budget"]["probes_remaining"] == 5
    nothing_left(server)
