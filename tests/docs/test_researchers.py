"""Every command and script in docs/researchers.md does what it says there."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest

from tests.support.processes import run_to_end
from tests.support.service import TASK, Server

TEXT = (Path(__file__).parents[2] / "docs" / "researchers.md").read_text(encoding="utf-8")
PUBLISHED = "http://localhost:8080"


@pytest.fixture(scope="module")
def url(shared: Server) -> str:
    """A service with two submitted results and one that was not."""
    for name in ("ann", "bob", "eve"):
        agent = shared.open(agent=name)
        agent.call("edit", {"start_line": 246, "end_line": 246, "content": f"    # {name}"})
        agent.post("/test?wait=30")
        if name != "eve":
            agent.call("submit", {"n": 1})
    return str(shared.url)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_the_commands_run_one_after_the_other(url: str, tmp_path: Path) -> None:
    assert PUBLISHED in blocks("sh")[0]
    script = "\n".join(["set -euo pipefail", *blocks("sh")]).replace(PUBLISHED, url)
    ran = run_to_end(["bash", "-c", script], cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    result, curve, session, trajectory = (
        json.loads((tmp_path / f"{name}.json").read_text()) for name in ("result", "curve", "session", "trajectory")
    )
    assert (tmp_path / "leaderboard.csv").read_text().count("\n") == 3
    assert curve["run_key"] == result["run_key"] == f"{session['session_id']}-1"
    assert session["state"] == "submitted"
    assert [step["tool"] for step in trajectory["steps"]] == ["edit", "test", "submit"]


def test_the_script_prints_the_best_results(url: str) -> None:
    (script,) = blocks("python")
    ran = run_to_end([sys.executable, "-c", script], env=os.environ | {"URL": url, "TASK": TASK})
    assert ran.returncode == 0, ran.stderr
    assert [line.split()[0] for line in ran.stdout.splitlines()] == ["1", "2"]
    assert {line.split()[1] for line in ran.stdout.splitlines()} == {"ann", "bob"}


def test_the_columns_are_those_of_a_leaderboard(url: str, shared: Server) -> None:
    with shared.client() as client:
        columns = client.get(f"/v1/leaderboards/{TASK}").json()["columns"]
    rows = [line.split("|")[1] for line in TEXT.splitlines() if line.startswith("| ")]
    named = [name for row in rows for name in re.findall(r"`([\w…]+)`", row)]
    patterns = [re.compile(name.replace("…", ".*")) for name in named]
    accuracies = {"arc_easy", "hellaswag", "piqa", "winogrande"}
    unnamed = [name for name in columns if not any(pattern.fullmatch(name) for pattern in patterns)]
    assert {name.partition("_lm-eval")[0] for name in unnamed} <= accuracies
    assert url
