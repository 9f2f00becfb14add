"""The examples of docs/agents.md, as they stand there, against a service that really runs tests."""

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

from tests.support.processes import plain_environment, run_to_end
from tests.support.service import TASK, Server

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "agents.md").read_text(encoding="utf-8")
URL = "http://localhost:8080"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def example(section: str, language: str, url: str, task: str) -> str:
    """The only code block of a section, for this service and task."""
    [block] = re.findall(rf"^## {section}\n.*?^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert URL in block
    return str(block).replace(URL, url).replace(TASK, task)


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
    assert re.findall(r"^```(\w+)$", TEXT, re.MULTILINE) == ["bash", "python", "json", "bash"]


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
    command = example("Inspect", "bash", local.url, "quick").replace("openai/gpt-5", "scripted/agent")
    # An extension that is installed: how Inspect finds models that are not its own.
    installed = tmp_path / "scripted-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: scripted\nVersion: 1\n")
    (installed / "entry_points.txt").write_text("[inspect_ai]\nscripted = scripted_model\n")
    paths = f"{tmp_path}:{Path(__file__).parent}"
    logs = tmp_path / "logs"
    ran(["bash", "-euo", "pipefail", "-c", command], ROOT, PYTHONPATH=paths, INSPECT_LOG_DIR=str(logs))
    assert len(list(logs.iterdir())) == 1
    submitted(local, "quick", "scripted/agent")
