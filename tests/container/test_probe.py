"""A probe in real containers: trained, evaluated and audited as a test is, through a kill of the service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runner.container.sandbox import Sandbox
from tests.support.tasks import write_proxied_task
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.support.service import Serve, Server

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture
def server(serve: Serve, tmp_path: Path, host_image: str, host_sandbox: Sandbox) -> Server:
    """A service with the task `proxied`, on the engine of these tests."""
    tables = {"binds": host_sandbox.binds, "environment": host_sandbox.environment}
    lines = [f"cpus = {host_sandbox.cpus}"]
    for table, pairs in tables.items():
        lines += [f"[{table}]", *(f"{json.dumps(key)} = {json.dumps(value)}" for key, value in pairs.items())]
    sandbox = tmp_path / "sandbox.toml"
    sandbox.write_text("\n".join(lines) + "\n")
    task = write_proxied_task(tmp_path / "proxied")
    options = ["--image", host_image, "--sandbox", str(sandbox), "--tasks", str(task), "--slots", "1"]
    return serve("--runner", "docker", *options)


def test_a_probe_in_containers_outlives_the_service(server: Server) -> None:
    agent = server.open("proxied")
    assert agent.call("probe").status_code == 202
    until(lambda: agent.get("/probes/1").json()["progress"]["series"], 200)
    server.kill()
    server.start()
    until(lambda: agent.get("/probes/1", params={"wait": 20}).json()["ended_at"], 200)
    probe = agent.get("/probes/1").json()
    assert probe["status"] == "succeeded", probe["observation"]
    assert probe["observation"].startswith("[Probe #1] (5 probes remaining; ")
    assert (probe["scale"], probe["progress"]["series"][-1]["step"]) == ("tiny", 15)
    assert probe["metrics"]["val_loss_gpt-tiny"] < probe["progress"]["series"][0]["val_loss"]
    assert "Certificate: val_loss " in probe["observation"]
    with server.client() as client:
        assert client.get("/v1/leaderboards/proxied", params={"final": False}).json()["rows"] == []
