"""The Inspect task, played by Inspect's mock model against real services."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from inspect_ai.tool import ToolDef

from ringfence.client import Client
from ringfence.inspect.tools import tools_of
from tests.support.service import TASK, Serve, Server

ROOT = Path(__file__).parents[2]
EDIT = ["edit", {"op": "str_replace", "old_str": "1e-5)", "new_str": "1e-6)"}]


def evaluated(url: str, logs: Path, task: str, *samples: list[Any], **environment: str) -> list[dict[str, Any]]:
    """What came of each sample, in which the model made these calls, one after another; in a folder of a user's."""
    folder = logs / "user"
    (folder / "tasks").mkdir(parents=True)
    for name in ("env.py", "runner.py", "tasks/__init__.py"):
        (folder / name).write_text(f"raise SystemExit('{name} is a user's own')\n")
    command = [sys.executable, str(ROOT / "tests" / "agents" / "inspect_eval.py"), url, str(logs), task]
    ended = subprocess.run(
        [*command, json.dumps(samples)],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    log = json.loads(ended.stdout.splitlines()[-1])
    assert (log["status"], log["error"]) == ("success", None), log
    told: list[dict[str, Any]] = log["samples"]
    assert [sample["error"] for sample in told] == [None] * len(told)
    return told


def test_an_agent_edits_checks_tests_and_submits(scored: Server, tmp_path: Path) -> None:
    calls = [EDIT, ["check", {}], ["test", {}], ["submit", {"n": 1}]]
    [sample] = evaluated(scored.url, tmp_path, TASK, calls)
    said = [text for role, text in sample["messages"] if role == "tool"]
    assert said[0].startswith("OK: Replaced")
    assert said[1].startswith("[check] Passed")
    assert "Final metrics (gpt-smoke): val_loss_gpt-smoke=" in said[2]
    assert "[submit] Finalized test #1 as final." in said[3]
    with scored.client() as client:
        [row] = client.get(f"/v1/leaderboards/{TASK}", params={"agent": "inspect"}).json()["rows"]
    [score] = sample["scores"].values()
    assert score["value"]["submitted"] == 1
    assert score["metadata"]["status"] == "succeeded"
    assert score["value"]["score"] == row["score"]
    assert score["metadata"]["metrics"]["val_loss_gpt-smoke"] == row["val_loss_gpt-smoke"]
    assert score["metadata"]["difference"]["delta_noise"] == row["delta_noise"]
    assert {audit["passed"] for audit in score["metadata"]["audits"]} == {True}


def test_all_tasks_are_played_in_one_evaluation(scored: Server, tmp_path: Path) -> None:
    with scored.client() as client:
        known = [task["id"] for task in client.get("/v1/tasks").json()["tasks"]]
    played = evaluated(scored.url, tmp_path, "", [["test", {}], ["submit", {"n": 1}]] * len(known))
    assert [sample["id"] for sample in played] == known
    values = [sample["scores"]["submitted_result"]["value"] for sample in played]
    with scored.client() as client:
        boards = [client.get(f"/v1/leaderboards/{task}", params={"agent": "inspect"}).json()["rows"] for task in known]
    for value, rows in zip(values, boards, strict=True):
        assert value["score"] in [row["score"] for row in rows]
    assert {value["submitted"] for value in values} == {1}
    assert {sample["input"].split()[2] for sample in played} == set(known)


def test_each_epoch_has_a_session_of_its_own_and_is_scored_by_what_it_submitted(shared: Server, tmp_path: Path) -> None:
    refused = ["edit", {"op": "replace", "start_line": 1, "end_line": 15, "content": "import os\n"}]
    played = evaluated(
        shared.url,
        tmp_path,
        TASK,
        [refused, ["view", {}], ["test", {}], ["submit", {"n": 2}], ["submit", {"n": 1}]],
        [["test", {"n": 1}], ["submit", {"n": 1}], ["test", {}], None, None],
    )
    told = [[text for role, text in sample["messages"] if role == "tool"] for sample in played]
    assert told[0][0] == "ERROR: Lines 1..15 exceed the editable range. You may only edit lines 22–31, 88–100, 245–247."
    assert told[0][1].endswith("   437      train()")  # a whole file is not cut
    assert "There is no result of a test #2" in told[0][3]
    assert "[submit] Finalized test #1 as final." in told[0][4]
    assert "Additional properties are not allowed" in told[1][0]  # Inspect holds calls against the schema itself
    assert told[1][1].startswith("ERROR: No test results yet.")
    assert ["user", "Go on with the tools."] in [[role, text[:21]] for role, text in played[1]["messages"]]
    scores = [sample["scores"]["submitted_result"]["value"] for sample in played]
    assert [score["submitted"] for score in scores] == [1, 0]
    assert (math.isnan(scores[0]["score"]), scores[1]["score"]) == (True, 0)  # invented results have no score


def test_an_operators_key_comes_from_the_environment(serve: Serve, tmp_path: Path) -> None:
    service = serve("--runner", "fake", "--key", "operator-key-0123456789")
    calls = [["test", {}], ["submit", {"n": 1}]]
    [sample] = evaluated(service.url, tmp_path, TASK, calls, RINGFENCE_KEY="operator-key-0123456789")
    assert sample["scores"]["submitted_result"]["value"]["submitted"] == 1


def test_the_tools_are_those_of_every_other_way_in(shared: Server) -> None:
    with Client(shared.url) as client, client.open(TASK, "x") as session:
        tools = [ToolDef(tool) for tool in tools_of(session)]
    functions = [tool["function"] for tool in shared.open().opened["tools"]]
    assert [
        {
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters.model_dump(exclude_none=True),
        }
        for tool in tools
    ] == functions
