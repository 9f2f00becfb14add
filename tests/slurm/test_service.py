"""Whole sessions over HTTP, with tests as jobs of a real cluster."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.slurm.cluster import Cluster
from tests.support.service import Serve, Server
from tests.support.slurm import SlurmCluster, wait_for_no_jobs
from tests.support.tasks import write_quick_task
from tests.support.waiting import until

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

EDIT = {"op": "str_replace", "old_str": "self.bias, 1e-5)", "new_str": "self.bias, 1e-6)"}
StartService = Callable[[], Server]


@pytest.fixture
def service(tmp_path: Path, serve: Serve, cluster_file: Cluster) -> StartService:
    """Starts a service on the cluster, with the task `quick`."""
    folder = tmp_path / "shared"
    file = tmp_path / "cluster.toml"
    file.write_text(_toml(dataclasses.replace(cluster_file, folder=folder, disk_mb=2048, slots=1)))
    tasks = write_quick_task(tmp_path / "tasks" / "quick").parent
    return lambda: serve("--runner", "slurm", "--cluster", str(file), "--tasks", str(tasks))


@pytest.mark.timeout(300)
def test_a_session_from_its_first_edit_to_its_submission(
    service: StartService, slurm: SlurmCluster, tmp_path: Path
) -> None:
    server = service()
    agent = server.open("quick")
    assert agent.call("edit", EDIT).json()["ok"]
    checked = agent.call("check").json()
    assert checked["ok"], checked["observation"]
    assert agent.call("test").status_code == 202
    seen = agent.result(1)
    assert seen["status"] == "succeeded", seen["observation"]
    assert seen["metrics"]["val_loss_gpt-smoke"] < 5.5
    assert agent.call("submit", {"n": 1}).json()["ok"]
    wait_for_no_jobs(slurm)
    until(lambda: not any((tmp_path / "shared" / "runs").iterdir()))


def _toml(cluster: Cluster) -> str:
    lines = []
    for key, value in dataclasses.asdict(cluster).items():
        if value is None or value == {} or value == ():
            continue
        if isinstance(value, dict):
            value = "{ " + ", ".join(f'"{name}" = "{each}"' for name, each in value.items()) + " }"
        elif isinstance(value, bool):
            value = str(value).lower()
        elif not isinstance(value, (int, float)):
            value = f'"{value}"'
        lines.append(f"{key} = {value}\n")
    return "".join(lines)
