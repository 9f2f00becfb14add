"""Tasks exported for Harbor: read by its own package, and played by their own scripts against a live service."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from env.operators.harbor.folder import best_baseline
from ringfence.api.catalogue import Anchors, MetricAnchor
from ringfence.client import Client
from tests.support.command import ringfence
from tests.support.environments import make_environment
from tests.support.processes import plain_environment, run_to_end
from tests.support.service import TASK, Serve, Server

NAME = f"{TASK}-smoke"
KEY, AGENT_KEY = "operator-key-0123456789", "agent-key-0123456789"
READ = """\
import json, sys
from harbor.lint.models import DEFAULT_RULES
from harbor.lint.task import lint_task
from harbor.models.task.task import Task
from harbor.models.task.verifier_mode import resolve_verifier_environment_definition
from pathlib import Path
told = []
for folder in map(Path, sys.argv[1:]):
    task = Task(folder)
    verifier = resolve_verifier_environment_definition(task.config, task.paths)
    told.append({
        "name": task.config.task.name,
        "findings": [str(found) for found in lint_task(folder, selected_rules=set(DEFAULT_RULES))],
        "all": sorted({found.rule.value for found in lint_task(folder)}),
        "mode": task.config.verifier.environment_mode.value,
        "separate": verifier is not None and not verifier.bundled_tests,
        "unknown": task.config.model_extra or {},
        "gpus": task.config.environment.gpus or 0,
        "agent_s": task.config.agent.timeout_sec,
        "instruction": task.instruction,
    })
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def exported(scored: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All tasks of a service at all their scales."""
    out = tmp_path_factory.mktemp("harbor") / "tasks"
    told = ringfence("export", "harbor", "--url", scored.url, "--out", str(out))
    assert told.exit_code == 0, told.output
    return out


class Box:
    """What a container of the task would be: its files, its environment, and where its session is kept."""

    def __init__(self, task: Path, folder: Path, **environment: str) -> None:
        folder.mkdir()
        self.task = task
        self.reward = folder / "verifier" / "reward.json"
        python = Path(sys.executable).parent
        self.environment = plain_environment() | {
            "PATH": f"{task / 'environment'}:{python}:{os.environ['PATH']}",
            "PYTHONPATH": str(task / "environment" / "client"),
            "HOME": str(folder),
            "RINGFENCE_SESSION": str(folder / "session.json"),
            "RINGFENCE_REWARD": str(self.reward),
            "RINGFENCE_PATIENCE": "1",
            "RINGFENCE_TASK": TASK,
            "RINGFENCE_SCALE": "smoke",
            **environment,
        }
        self.folder = folder

    def run(self, *command: str, told: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=self.environment, cwd=self.folder, input=told, capture_output=True, text=True, timeout=200
        )

    def solve(self) -> subprocess.CompletedProcess[str]:
        return self.run(str(self.task / "solution" / "solve.sh"))

    def verify(self, **environment: str) -> subprocess.CompletedProcess[str]:
        self.environment |= environment
        return self.run(str(self.task / "tests" / "test.sh"))


@pytest.fixture
def box(exported: Path, scored: Server, tmp_path: Path) -> Box:
    return Box(exported / NAME, tmp_path / "box", RINGFENCE_URL=scored.url)


@pytest.mark.slow
def test_harbor_reads_every_task_and_its_lint_finds_nothing(
    exported: Path, scored: Server, tmp_path_factory: pytest.TempPathFactory
) -> None:
    python = make_environment(tmp_path_factory.mktemp("environment") / "harbor", "harbor==0.25.0", minor=12)
    folders = sorted(exported.iterdir())
    told = run_to_end([str(python), "-c", READ, *map(str, folders)], cwd=exported)
    assert told.returncode == 0, told.stderr
    tasks = json.loads(told.stdout)
    with scored.client() as client:
        known = client.get("/v1/tasks").json()["tasks"]
    assert [task["name"] for task in tasks] == sorted(
        f"ringfence/{task['id']}-{scale}" for task in known for scale in task["scales"]
    )
    for task in tasks:
        assert (task["findings"], task["mode"], task["separate"], task["gpus"]) == ([], "separate", True, 0), task
        assert task["all"] == []
    # An agent has the time of all its tests.
    [whole] = [task for task in tasks if task["name"] == f"ringfence/{TASK}-gpt-345m"]
    with scored.client() as client:
        about = client.get(f"/v1/tasks/{TASK}").json()
    stages = about["scale_details"]["gpt-345m"]["stages"]
    assert whole["agent_s"] > about["budget"]["tests"] * sum(stage["timeout_s"] for stage in stages)
    assert whole["instruction"].startswith(f"# Task: {TASK}")


def test_the_best_baseline_is_the_solution_and_is_rewarded_with_its_score(box: Box, scored: Server) -> None:
    solved = box.solve()
    assert solved.returncode == 0, solved.stdout + solved.stderr
    assert "[submit] Finalized test #1 as final." in solved.stdout
    verified = box.verify()
    assert verified.returncode == 0, verified.stderr
    rewards = json.loads(box.reward.read_text())
    session = json.loads(Path(box.environment["RINGFENCE_SESSION"]).read_text())["session_id"]
    with scored.client() as client:
        result = client.get(f"/v1/results/{session}-1").json()
        baselines = client.get(f"/v1/tasks/{TASK}").json()
    assert rewards["reward"] == result["score"]
    assert rewards["val_loss_gpt-smoke"] == result["metrics"]["val_loss_gpt-smoke"]
    assert rewards["delta_noise"] == result["delta_noise"]
    assert all(isinstance(value, int | float) for value in rewards.values())  # Harbor takes nothing else
    assert f", {baselines['baselines'][0]['name']}: " in (box.task / "solution" / "solve.sh").read_text()
    assert result["labels"]["template_unmodified"] is False


def test_what_is_not_final_is_a_failed_verification_and_no_reward(box: Box) -> None:
    nothing = box.verify()
    assert (nothing.returncode, box.reward.exists()) == (1, False)
    assert "the agent opened no session" in nothing.stderr
    assert box.run("rf", "test", "--wait", "100").returncode == 0
    box.reward.parent.mkdir()
    box.reward.write_text('{"reward": 1}')  # left there by whomever
    unsubmitted = box.verify()
    assert (unsubmitted.returncode, box.reward.exists()) == (1, False)
    assert "has submitted nothing" in unsubmitted.stderr
    assert box.run("rf", "submit", "1").returncode == 0
    assert box.verify().returncode == 0


def test_a_service_that_is_away_or_has_no_score_is_a_failed_verification(
    exported: Path, serve: Serve, tmp_path: Path
) -> None:
    service = serve("--runner", "fake")
    box = Box(exported / NAME, tmp_path / "box", RINGFENCE_URL=service.url)
    script = box.task / "tests" / "test.sh"
    here = tmp_path / "test.sh"
    here.write_text(script.read_text().replace(_url_in(script), service.url))
    assert box.solve().returncode == 0
    service.kill()
    gone = box.run("sh", str(here))
    assert (gone.returncode, box.reward.exists()) == (1, False)
    assert "could not be reached" in gone.stderr
    service.start()
    here.write_text(script.read_text().replace(_url_in(script), service.url))
    unscored = box.run("sh", str(here))  # an invented result: there is nothing to reward it by
    assert (unscored.returncode, box.reward.exists()) == (1, False)
    assert "has no score" in unscored.stderr


def test_a_session_that_is_another_agents_or_of_another_task_earns_nothing(box: Box, scored: Server) -> None:
    other = scored.open("llm-pretrain-loss", scale="smoke")
    other.call("test")
    other.result(1)
    assert other.call("submit", {"n": 1}).status_code == 200
    file = Path(box.environment["RINGFENCE_SESSION"])
    file.write_text(json.dumps({"session_id": other.id, "token": other.token}))
    assert "is on llm-pretrain-loss" in box.verify().stderr
    file.write_text(json.dumps({"session_id": other.id, "token": f"rf_{other.id}_made-up"}))
    assert "does not belong to this session" in box.verify().stderr
    file.write_text("{")
    assert "is no session file" in box.verify().stderr
    assert not box.reward.exists()


def test_an_agents_key_opens_sessions_and_can_do_nothing_else(exported: Path, serve: Serve, tmp_path: Path) -> None:
    service = serve("--runner", "fake", "--key", KEY, "--agent-key", AGENT_KEY)
    box = Box(exported / NAME, tmp_path / "box", RINGFENCE_URL=service.url, RINGFENCE_KEY=AGENT_KEY)
    assert box.run("rf", "view", "1", "3").returncode == 0
    session = json.loads(Path(box.environment["RINGFENCE_SESSION"]).read_text())["session_id"]
    with service.client(AGENT_KEY) as client:
        assert client.get(f"/v1/sessions/{session}").status_code == 403
        assert client.post(f"/v1/sessions/{session}/close").status_code == 403
    with service.client() as client:
        assert client.post("/v1/sessions", json={"task": TASK, "agent": "x"}).status_code == 401


def test_rf_plays_a_session(box: Box) -> None:
    def rf(*arguments: str, told: str = "", status: int = 0) -> str:
        ended = box.run("rf", *arguments, told=told)
        assert ended.returncode == status, ended.stdout + ended.stderr
        return ended.stdout

    assert rf("prompt").startswith(f"# Task: {TASK}")
    assert rf("status") == "No test was started yet.\n"
    assert rf("replace", "246", "246", told="    # one\n    # two\n").startswith("OK: Replaced lines 246..246")
    assert rf("insert", "246", told="    # and a half\n").startswith("OK: Inserted")
    assert rf("edit", "-", told='{"op": "str_replace", "old_str": "# two", "new_str": "# 2"}').startswith("OK")
    assert rf("undo", "2").startswith("OK")
    assert "# two" in rf("view", "245", "248")
    assert rf("replace", "1", "2", told="x", status=1).startswith("ERROR: Lines 1..2 exceed the editable range.")
    assert rf("edit", "{", status=1).startswith("ERROR: the arguments are not JSON")
    assert rf("check").startswith("[check] Passed")
    rf("edit", '{"op": "replace", "start_line": 246, "end_line": 247, "content": "    # fake: seconds=3\\n"}')
    assert "`rf status --wait 60` waits" in rf("test", "--wait", "0")
    assert "val_loss_gpt-smoke=" in rf("status", "--wait", "100")
    assert "Finalized test #1" in rf("call", "submit", '{"n": 1}')
    box.environment["RINGFENCE_URL"] = "http://127.0.0.1:9"
    box.environment["RINGFENCE_SESSION"] += ".other"
    del box.environment["RINGFENCE_TASK"]
    assert box.run("rf", "view").returncode == 3


def test_the_best_baseline_is_the_one_with_the_lowest_loss_that_was_measured(scored: Server) -> None:
    with Client(scored.url) as client:
        task = client.task(TASK)
    first, second, *_ = (baseline.name for baseline in task.baselines)
    measured = {"template": (1.0, 1.0), first: (2.0, 2.4), second: (2.3, 2.0), "gone": (0.5,)}  # the unedited file too
    figures = {"floor": 3.0, "ref": 1.0, "bound": 0.0, "weight": 1.0, "noise": 0.1, "baselines": measured}
    loss = MetricAnchor(metric="val_loss", stage="gpt-smoke", better="lower", **figures)
    known = task.model_copy(update={"anchors": {"smoke": Anchors(scored=True, reason=None, metrics=(loss,))}})
    best = best_baseline(known, "smoke")
    assert best is not None
    assert best.name == second
    assert best_baseline(known, "gpt-345m") == task.baselines[0]
    assert best_baseline(task.model_copy(update={"baselines": ()}), "smoke") is None


@pytest.mark.docker
def test_the_solution_is_played_and_verified_in_containers(
    exported: Path, scored: Server, engine_url: str | None, host_image: str, tmp_path: Path
) -> None:
    """As Harbor does it: a box for the agent, another one for the verifier, and only the session's file goes over."""
    task, home, handed_over, logs = exported / NAME, tmp_path / "home", tmp_path / "handed-over", tmp_path / "logs"
    for folder in (home, handed_over, logs):
        folder.mkdir()
    os.chown(home, 1000, 1000)
    client = {task / "environment" / "client": "/opt/ringfence", task / "environment" / "rf": "/box/rf"}

    def box(user: str, mounts: dict[Path, str], command: str) -> subprocess.CompletedProcess[str]:
        python = {Path(prefix): prefix for prefix in {"/usr", sys.prefix, sys.base_prefix}}
        settings = {
            "PATH": f"/box:{sys.prefix}/bin:/usr/bin:/bin",
            "PYTHONPATH": "/opt/ringfence",
            "HOME": "/home/agent",
            "RINGFENCE_URL": scored.url,
            "RINGFENCE_TASK": TASK,
            "RINGFENCE_SCALE": "smoke",
        }
        run = ["docker", "run", "--rm", "--network", "host", "--user", user]
        run += [f"--volume={source}:{target}:ro" for source, target in (python | client).items()]
        run += [f"--volume={source}:{target}" for source, target in mounts.items()]
        run += [f"--env={name}={value}" for name, value in settings.items()]
        environment = dict(os.environ) if engine_url is None else dict(os.environ) | {"DOCKER_HOST": engine_url}
        return run_to_end([*run, host_image, command], env=environment)

    solved = box("1000", {home: "/home/agent", task / "solution": "/solution"}, "/solution/solve.sh")
    assert solved.returncode == 0, solved.stdout + solved.stderr
    mounts = {handed_over: "/home/agent/.ringfence", logs: "/logs/verifier", task / "tests": "/tests"}
    unheard = box("0", mounts, "/tests/test.sh")
    assert (unheard.returncode, list(logs.iterdir())) == (1, [])
    shutil.copy(home / ".ringfence" / "session.json", handed_over)
    verified = box("0", mounts, "/tests/test.sh")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert json.loads((logs / "reward.json").read_text())["reward"] > 0


def test_an_export_says_why_it_cannot_be(scored: Server, exported: Path, tmp_path: Path) -> None:
    def told(*arguments: str) -> str:
        ended = ringfence("export", "harbor", "--url", scored.url, *arguments)
        assert ended.exit_code == 1
        return ended.output

    assert "there is already" in told("--out", str(exported), "--task", TASK)
    assert "There is no task 'nothing'" in told("--out", str(tmp_path), "--task", "nothing")
    assert "none of these tasks has a scale gpt-9t" in told("--out", str(tmp_path), "--scale", "gpt-9t")
    assert list(tmp_path.iterdir()) == []


def _url_in(script: Path) -> str:
    words = script.read_text().split()
    return words[words.index("--url") + 1]
