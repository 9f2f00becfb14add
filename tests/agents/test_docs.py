"""The examples of the guides for agents, evaluations and trainers, as they stand there, against live services."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from tests.support.environments import make_environment
from tests.support.processes import plain_environment, run_to_end
from tests.support.service import TASK, Server

ROOT = Path(__file__).parents[2]
AGENTS, EVALUATIONS, TRAINERS = (
    (ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("agents.md", "evaluations.md", "trainers.md")
)
URL = "http://localhost:8080"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def examples(text: str, section: str, language: str, url: str, task: str) -> list[str]:
    """A section's code blocks in a language, for this service and task."""
    [part] = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)
    return [block.replace(URL, url).replace(TASK, task) for block in blocks]


def example(section: str, language: str, url: str, task: str, text: str = AGENTS) -> str:
    """The only such block, which names the service."""
    [block] = examples(text, section, language, url, task)
    assert url in block
    return block


def ran(command: list[str], folder: Path, **environment: str) -> str:
    """What the example printed; it must come to its end."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    plain = {name: value for name, value in plain_environment().items() if not name.startswith("INSPECT_")}
    ended = run_to_end(command, 280, plain | {"PATH": path} | environment, cwd=folder)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def submitted(service: Server, task: str, agent: str) -> dict[str, Any]:
    with service.client() as client:
        [row] = client.get(f"/v1/leaderboards/{task}", params={"agent": agent}).json()["rows"]
    assert row["status"] == "succeeded"
    return dict(row)


def test_every_example_is_run_here() -> None:
    def languages(text: str) -> list[str]:
        return re.findall(r"^```(\w+)$", text, re.MULTILINE)

    assert languages(AGENTS) == ["bash", "python", "bash", "json"]
    assert languages(EVALUATIONS) == ["bash", "bash", "bash", "bash"]
    assert languages(TRAINERS) == ["bash", "bash", "toml", "python"]  # the first three: test_verifiers.py


def test_http(local: Server, tmp_path: Path) -> None:
    told = ran(["bash", "-euo", "pipefail", "-c", example("HTTP", "bash", local.url, "quick")], tmp_path)
    assert "    22: class LayerNorm(nn.Module):" in told
    assert "OK: Replaced" in told
    assert re.search(r"^\[check\] Passed after .*\(9 check\(s\) remaining\)", told, re.MULTILINE | re.DOTALL)
    assert "TRAIN_METRICS: step=30" in told
    assert "[submit] Finalized test #1 as final." in told
    assert 0 < submitted(local, "quick", "curl")["val_loss_gpt-smoke"] < 5


def test_python(local: Server, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(example("Python", "python", local.url, "quick"))
    told = ran([sys.executable, str(script)], tmp_path)
    assert "outside_editable ERROR: Lines 1..15" in told
    assert "[check] Passed" in told
    assert "[submit] Finalized test #1 as final." in told
    assert "python succeeded" in told
    submitted(local, "quick", "python")


def test_mcp_configuration_leads_to_the_tools(local: Server) -> None:
    configured = json.loads(example("MCP", "json", local.url, "quick"))["mcpServers"]["ringfence"]
    assert configured.pop("type") == "http"

    async def tools() -> set[str]:
        async with Client(configured["url"]) as client:
            return {tool.name for tool in (await client.list_tools()).tools}

    assert {"open_session", "edit", "check", "test", "test_status", "submit"} <= asyncio.run(tools())


def test_inspect(local: Server, tmp_path: Path) -> None:
    command = example("Inspect", "bash", local.url, "quick", EVALUATIONS).replace("openai/gpt-5", "scripted/agent")
    # An extension that is installed: how Inspect finds models that are not its own.
    installed = tmp_path / "scripted-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: scripted\nVersion: 1\n")
    (installed / "entry_points.txt").write_text("[inspect_ai]\nscripted = scripted_model\n")
    paths = f"{tmp_path}:{Path(__file__).parent}"
    logs = tmp_path / "logs"
    ran(["bash", "-euo", "pipefail", "-c", command], tmp_path, PYTHONPATH=paths, INSPECT_LOG_DIR=str(logs))
    assert len(list(logs.iterdir())) == 1
    submitted(local, "quick", "scripted/agent")


def test_a_shell_and_a_grader_of_its_session(scored: Server, tmp_path: Path) -> None:
    told = ran(
        ["bash", "-euo", "pipefail", "-c", example("A shell", "bash", scored.url, TASK)], tmp_path, HOME=str(tmp_path)
    )
    assert "    22: class LayerNorm(nn.Module):" in told
    assert "OK: Replaced lines 247..247" in told
    assert "[check] Passed" in told
    assert "[submit] Finalized test #1 as final." in told
    grader = example("Anything else", "bash", scored.url, TASK, EVALUATIONS)
    ran(["bash", "-euo", "pipefail", "-c", grader], tmp_path, HOME=str(tmp_path))
    rewards = json.loads((tmp_path / "reward.json").read_text())
    assert rewards["reward"] == submitted(scored, TASK, "rf")["score"]


def test_harbor(scored: Server, tmp_path: Path) -> None:
    export, lint = examples(EVALUATIONS, "Harbor", "bash", scored.url, TASK)
    assert scored.url in export
    ran(["bash", "-euo", "pipefail", "-c", export], tmp_path)
    harbor = make_environment(tmp_path / "harbor", "harbor==0.25.0", minor=12).parent
    ran(["bash", "-euo", "pipefail", "-c", lint], tmp_path, PATH=f"{harbor}:{os.environ['PATH']}")


def test_rollouts_without_a_framework(scored: Server, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(example("Without a framework", "python", scored.url, TASK, TRAINERS))
    [rewards] = re.findall(r"^rewards \[(.*)\]$", ran([sys.executable, str(script)], tmp_path), re.MULTILINE)
    scores = {submitted(scored, TASK, f"policy-{number}")["score"] for number in range(4)}
    assert {float(reward) for reward in rewards.split(", ")} == scores
