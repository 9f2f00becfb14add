"""SIGKILL of the real service at random moments, with tests in real containers: each ends once, and nothing is left."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker
import httpx
import pytest

from runner.container.sandbox import Sandbox
from tests.support.waiting import Deadline, threads, until

if TYPE_CHECKING:
    from tests.support.service import Agent, Serve, Server

pytestmark = pytest.mark.docker

TESTS, KILLS = 4, 12
PROBE = "trial"
TASK = f"""\
id = "tiny"
title = "A task of an operator's own"
template = "custom.py"
filename = "pkg/custom.py"
editable = [[1, 1]]
[budget]
tests = {TESTS + 1}
[scales.smoke]
world_size = 1
[[scales.smoke.stages]]
label = "only"
script = "only.sh"
role = "evaluate"
timeout_s = 60
"""
SCRIPT = """\
sleep 0.$((RANDOM % 8 + 3))
echo "TRAIN_METRICS: step=1, train_loss=3.0, val_loss=3.0"
sleep 0.0$((RANDOM % 10))
echo '{"metrics": {"val_loss": 2.5}}' > "$OUT_DIR/metrics.json"
"""


class Containers:
    """The containers of one service, by name."""

    def __init__(self, engine_url: str | None, state: Path) -> None:
        self._client = docker.APIClient(base_url=engine_url, version="auto")
        owner = hashlib.sha256(str((state / "runs").resolve()).encode()).hexdigest()[:12]
        self._prefix = f"ringfence-{owner}-"

    def names(self) -> list[str]:
        """All there are, running or not, labelled or not, without what is common to them."""
        found = self._client.containers(all=True, filters={"name": self._prefix})
        return [one["Names"][0].partition(self._prefix)[2] for one in found]

    def probes(self) -> list[str]:
        """Those that are no run, but show what a run would find inside."""
        return [name for name in self.names() if name.startswith(PROBE)]

    def runs(self) -> list[str]:
        return [name for name in self.names() if not name.startswith(PROBE)]

    def started_since(self, moment: float) -> Counter[str]:
        """Runs whose container was started, and how often."""
        events = self._client.events(
            since=int(moment), until=int(time.time()) + 1, filters={"event": "start", "type": "container"}, decode=True
        )
        seen = {(event["timeNano"], event["Actor"]["Attributes"]["name"]) for event in events}
        runs = [name.removeprefix(self._prefix) for _, name in seen if name.startswith(self._prefix)]
        return Counter(run for run in runs if not run.startswith(PROBE))

    def clear(self) -> None:
        """Leaves the engine as it was, whatever the service left there."""
        for name in self.probes():
            self._client.remove_container(self._prefix + name, force=True)
        self._client.close()


@pytest.fixture
def server(serve: Serve, tmp_path: Path, host_image: str, host_sandbox: Sandbox) -> Server:
    """A service with one slot and the small task, on the engine of these tests."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    for name, text in (("task.toml", TASK), ("custom.py", "NOTES = None\n"), ("only.sh", SCRIPT)):
        (folder / name).write_text(text)
    tables = {"binds": host_sandbox.binds, "environment": host_sandbox.environment}
    sandbox = tmp_path / "sandbox.toml"
    sandbox.write_text(
        f"cpus = {host_sandbox.cpus}\n"
        + "".join(
            f"[{table}]\n" + "".join(f"{json.dumps(key)} = {json.dumps(value)}\n" for key, value in pairs.items())
            for table, pairs in tables.items()
        )
    )
    options = ["--image", host_image, "--sandbox", str(sandbox), "--tasks", str(folder), "--slots", "1"]
    return serve("--runner", "docker", *options)


@pytest.fixture
def containers(server: Server, engine_url: str | None) -> Iterator[Containers]:
    of_service = Containers(engine_url, server.state)
    yield of_service
    of_service.clear()


def until_answered(call: Callable[[], httpx.Response]) -> dict[str, Any]:
    """Repeats a call while the service is down or dies meanwhile, for a minute at most."""
    deadline = Deadline(60)
    while True:
        try:
            answer = call()
        except httpx.TransportError:
            deadline.check("for an answer")
            time.sleep(0.02)
            continue
        assert answer.status_code in (200, 202), answer.text
        body: dict[str, Any] = answer.json()
        return body


def spend_one(agent: Agent, n: int) -> dict[str, Any]:
    """The test's final view."""
    key = {"Idempotency-Key": f"test-{n}"}
    assert until_answered(lambda: agent.call("test", headers=key))["test"]["n"] == n
    deadline = Deadline(60)
    while (seen := until_answered(lambda: agent.get(f"/tests/{n}")))["ended_at"] is None:
        deadline.check(f"for the end of test {n}, which is {seen['status']}")
        time.sleep(0.05)
    return seen


@pytest.mark.slow
@pytest.mark.timeout(400)  # twelve starts of the service
def test_every_test_ends_once_and_leaves_nothing_however_often_the_service_is_killed(
    server: Server, containers: Containers
) -> None:
    moments = random.Random(3)
    agent = server.open("tiny")
    results, runs, under_way, kills = [], Counter[str](), 0, 0
    with threads(1) as pool:
        for n in range(1, TESTS + 1):
            began = time.time()
            spending = pool.submit(spend_one, agent, n)
            for _ in range(KILLS // TESTS):
                time.sleep(moments.choice((0.0, moments.uniform(0.0, 0.2), moments.uniform(0.2, 0.8))))
                under_way += not spending.done()
                server.kill()
                kills += 1
                server.start()
            results.append(spending.result())
            runs |= containers.started_since(began)
    print(f"{kills} kills, {under_way} of them before the test's result was read")
    assert kills == KILLS
    assert under_way >= TESTS

    assert [(result["n"], result["status"], result["refunded"]) for result in results] == [
        (n, "succeeded", False) for n in range(1, TESTS + 1)
    ]
    assert all(result["metrics"] == {"val_loss_only": 2.5} for result in results), results
    assert runs == {f"{agent.id}-{n}-0-0": 1 for n in range(1, TESTS + 1)}
    with server.client() as client:
        rows = client.get("/v1/leaderboards/tiny", params={"final": False}).json()["rows"]
    assert Counter((row["session_id"], row["test"], row["status"]) for row in rows) == {
        (agent.id, n, "succeeded"): 1 for n in range(1, TESTS + 1)
    }
    session = agent.get().json()
    assert session["budget"]["tests_remaining"] == 1
    assert [(test["n"], test["status"]) for test in session["tests"]] == [(n, "succeeded") for n in range(1, TESTS + 1)]
    assert [step["test"] for step in agent.get("/trajectory").json()["steps"]] == list(range(1, TESTS + 1))

    until(lambda: list((server.state / "runs").iterdir()) == [] and containers.runs() == [])


def test_a_kill_while_the_service_looks_into_its_image_leaves_no_container(
    server: Server, containers: Containers
) -> None:
    agent = server.open("tiny")
    server.kill()
    server.start()
    agent.call("test")
    until(lambda: containers.probes() != [])
    server.kill()
    server.start()
    assert agent.result(1)["status"] == "succeeded"
    server.stop()
    assert containers.probes() == []
