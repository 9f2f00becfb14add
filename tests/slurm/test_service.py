"""Whole sessions over HTTP, with tests as jobs of a real cluster."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import httpx
import pytest

from runner.slurm.cluster import Cluster
from tests.support.postgres import Postgres
from tests.support.service import Agent, Serve, Server
from tests.support.slurm import NODES, SlurmCluster, as_toml, wait_for_no_jobs
from tests.support.tasks import write_quick_task
from tests.support.waiting import until

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

EDIT = {"op": "str_replace", "old_str": "self.bias, 1e-5)", "new_str": "self.bias, 1e-6)"}
StartService = Callable[..., Server]


@pytest.fixture
def service(tmp_path: Path, serve: Serve, cluster_file: Cluster) -> StartService:
    """Starts a service on the cluster, with the task `quick`."""
    folder = tmp_path / "shared"
    file = tmp_path / "cluster.toml"
    file.write_text(as_toml(dataclasses.replace(cluster_file, folder=folder, disk_mb=2048, slots=1)))
    tasks = write_quick_task(tmp_path / "tasks" / "quick").parent
    return lambda *more: serve("--runner", "slurm", "--cluster", str(file), "--tasks", str(tasks), *more)


@pytest.mark.timeout(300)
def test_a_session_from_its_first_edit_to_its_submission_whatever_is_killed_meanwhile(
    service: StartService, slurm: SlurmCluster, tmp_path: Path, postgres: Postgres
) -> None:
    server = service("--db", postgres.create())
    agent = server.open("quick")
    assert agent.call("edit", EDIT).json()["ok"]
    checked = agent.call("check").json()
    assert checked["ok"], checked["observation"]
    assert agent.call("test").status_code == 202
    for victim in ("service", "slurmctld", "node1"):
        time.sleep(1.5)
        kill_and_start(server, slurm, victim)
    assert_it_ended_once(server, [agent])
    assert agent.call("submit", {"n": 1}).json()["ok"]
    wait_for_no_jobs(slurm)
    until(lambda: not any((tmp_path / "shared" / "runs").iterdir()))


@pytest.mark.exhaustive
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(5))
def test_each_test_ends_once_whatever_is_killed_at_any_moment(
    service: StartService, slurm: SlurmCluster, tmp_path: Path, postgres: Postgres, seed: int
) -> None:
    server = service("--db", postgres.create())
    agents = [server.open("quick") for _ in range(2)]
    for agent in agents:
        assert agent.call("edit", EDIT).json()["ok"]
        assert agent.call("test").status_code == 202
    random = Random(seed)
    for _ in range(4):
        time.sleep(random.uniform(0, 8))
        kill_and_start(server, slurm, random.choice(["service", "slurmctld", *NODES]), random.uniform(0, 3))
    assert_it_ended_once(server, agents)
    wait_for_no_jobs(slurm)
    until(lambda: not any((tmp_path / "shared" / "runs").iterdir()))


def kill_and_start(server: Server, slurm: SlurmCluster, victim: str, away_s: float = 0.5) -> None:
    """SIGKILL of the service or of one of Slurm's daemons, which comes back after a while."""
    if victim == "service":
        server.kill()
        server.start()
        return
    slurm.kill(victim)
    time.sleep(away_s)
    slurm.start()


def assert_it_ended_once(server: Server, agents: list[Agent]) -> None:
    """The first test of each of these, which are all the sessions there are."""
    for agent in agents:
        seen = agent.result(1)
        assert seen["status"] == "succeeded", seen["observation"]
        assert seen["metrics"]["val_loss_gpt-smoke"] < 5.5
        assert [(test["n"], test["status"]) for test in agent.get().json()["tests"]] == [(1, "succeeded")]
    rows = httpx.get(f"{server.url}/v1/leaderboards/quick?final=false").json()["rows"]
    assert len(rows) == len(agents)


def test_progress_says_how_a_test_waits(service: StartService, slurm: SlurmCluster) -> None:
    server = service()
    until(lambda: httpx.get(f"{server.url}/readyz").status_code == 200, 90, 0.2)
    slurm.ask("scontrol", "update", f"nodename={','.join(NODES)}", "state=drain", "reason=full")
    try:
        agent = server.open()  # of its scale the reference is there already, which would wait first
        agent.call("edit", EDIT)
        agent.call("test")
        until(lambda: agent.get("/tests/1").json()["progress"]["queue"], 60, 0.2)
        progress = agent.get("/tests/1").json()["progress"]
        assert progress["queue"]["place"] == 1
        assert progress["queue"]["reason"]
        scraped = httpx.get(f"{server.url}/metrics").text
        assert f'ringfence_waiting_runs{{reason="{progress["queue"]["reason"]}"}} 1.0' in scraped
        assert agent.post("/tests/1/cancel").status_code == 200
        assert agent.result(1)["status"] == "cancelled"
    finally:
        slurm.ask("scontrol", "update", f"nodename={','.join(NODES)}", "state=resume")
