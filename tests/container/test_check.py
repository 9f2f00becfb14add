"""A check in the sandbox: its forks, its sockets and its report get by with what a container gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.container.sandbox import Sandbox
from tests.support.containers import sandbox_toml
from tests.support.service import Serve

EDIT = {"op": "str_replace", "old_str": "self.bias, 1e-5)", "new_str": "self.bias, 1e-6)"}
LEAK = {"op": "str_replace", "old_str": "self.bias, 1e-6)", "new_str": "self.bias, 1e-6) - input.mean(1, True)"}


@pytest.mark.docker
@pytest.mark.timeout(300)
def test_a_check_passes_and_fails_in_a_container(
    serve: Serve, tmp_path: Path, host_image: str, host_sandbox: Sandbox, smoke_data: Path
) -> None:
    settings = tmp_path / "sandbox.toml"
    settings.write_text(sandbox_toml(host_sandbox))
    options = ("--image", host_image, "--sandbox", str(settings), "--data", str(smoke_data))
    agent = serve("--runner", "docker", *options).open()
    assert agent.call("edit", EDIT).status_code == 200
    passed = agent.call("check").json()
    assert passed["check"]["passed"], passed["observation"]
    edited = agent.call("edit", LEAK)
    assert edited.status_code == 200, edited.text
    failed = agent.call("check").json()
    assert "causality: what the model expects in the first half of a sequence changes" in failed["observation"]
