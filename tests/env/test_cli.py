"""The command line, as an operator meets it."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.command import ringfence
from tests.support.processes import next_line, plain_environment, run_to_end, started
from tests.support.service import TASK, Serve, services

MINIMAL = """\
id = "my-task"
title = "A minimal task"
template = "custom.py"
filename = "pkg/custom.py"
editable = [[3, 14], [20, 22]]
"""


NO_ENGINE = "unix:///dev/null/no-engine"
"""Whatever engine this machine has."""


def process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "env.cli", *arguments]
    return run_to_end(command, 380, plain_environment() | {"DOCKER_HOST": NO_ENGINE} | environment)


@pytest.fixture
def minimal(tmp_path: Path) -> Path:
    folder = tmp_path / "my-task"
    folder.mkdir()
    (folder / "task.toml").write_text(MINIMAL)
    (folder / "custom.py").write_text("".join(f"line_{number} = {number}\n" for number in range(1, 26)))
    return folder


def test_tasks_lists_the_built_in_ones_and_an_operators_own(minimal: Path) -> None:
    listed = ringfence("tasks", "--tasks", str(minimal)).stdout
    assert "lines 22–31, 88–100, 245–247 of 437; scales: smoke, gpt-124m, gpt-345m" in listed
    assert "lines 3–14, 20–22 of 25; scales: none" in listed
    assert len(re.findall(r"^llm-pretrain-", listed, re.MULTILINE)) == 9


def test_task_check_shows_the_ranges(minimal: Path) -> None:
    shown = ringfence("task", "check", str(minimal))
    assert shown.exit_code == 0
    assert "OK: my-task: A minimal task" in shown.stdout
    assert "[Current file: pkg/custom.py | editable: 3–14, 20–22 | total: 25 lines]" in shown.stdout
    assert "     3  line_3 = 3" in shown.stdout
    assert "no scales" in shown.stdout


def test_task_check_prints_the_whole_prompt(minimal: Path) -> None:
    shown = ringfence("task", "check", str(minimal), "--prompt").stdout
    assert "pkg/custom.py [EDITABLE — lines 3–14, lines 20–22 only]" in shown
    assert "    25: line_25 = 25" in shown


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[3, 14]", "[14, 3]", "editable"),
        ("[20, 22]", "[20, 99]", "25 lines"),
        ('title = "A minimal task"', "", "title"),
        ('"custom.py"', '"custum.py"', "custum.py"),
        ("id =", "identity =", "identity"),
    ],
)
def test_task_check_names_file_and_key_of_a_mistake(minimal: Path, old: str, new: str, said: str) -> None:
    (minimal / "task.toml").write_text(MINIMAL.replace(old, new))
    shown = ringfence("task", "check", str(minimal))
    assert shown.exit_code == 1
    assert shown.stderr.startswith(f"ERROR: {minimal / 'task.toml'}: ")
    assert said in shown.stderr
    assert "Traceback" not in shown.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--runner", "fake", "--host", "0.0.0.0"], "without operator keys"),
        (["--runner", "docker"], "--runner local"),
        ([], "--runner local"),
        (["--runner", "fake", "--scale", "huge"], "gpt-345m, smoke"),
        (["--runner", "fake", "--db", "nonsense"], "cannot open the database"),
        (["--runner", "fake", "--db", "sqlite:////dev/null/all.db"], "there is no folder /dev/null"),
        (["--runner", "fake", "--tasks", "/nowhere/at/all"], "/nowhere/at/all"),
    ],
)
def test_serve_says_why_it_does_not_start(
    tmp_path: Path, arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", NO_ENGINE)
    shown = ringfence("serve", "--state", str(tmp_path / "state"), *arguments)
    assert shown.exit_code == 2
    assert said in shown.stderr
    assert "Traceback" not in shown.stderr


def test_serve_says_where_it_cannot_listen(tmp_path: Path) -> None:
    address = ("--host", "192.0.2.1", "--port", "1", "--key", "k")
    shown = process("serve", "--state", str(tmp_path / "state"), "--runner", "fake", *address)
    assert shown.returncode == 2
    assert "cannot listen on 192.0.2.1" in shown.stderr
    assert "Traceback" not in shown.stderr


def test_options_come_from_the_environment_too(tmp_path: Path) -> None:
    shown = process("serve", "--state", str(tmp_path / "state"), RINGFENCE_RUNNER="fake", RINGFENCE_SCALE="huge")
    assert "'huge'" in shown.stderr


@dataclass(frozen=True)
class Demo:
    """A demo that was played: what it printed, and the state it left."""

    shown: subprocess.CompletedProcess[str]
    state: Path


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, smoke_data: Path) -> Demo:
    state = tmp_path_factory.mktemp("demo") / "state"
    state.mkdir()
    (state / "data").symlink_to(smoke_data)
    return Demo(process("demo", "--state", str(state)), state)


@pytest.mark.slow
@pytest.mark.timeout(400)  # two trainings and all that is scored, on a busy machine
def test_the_demo_plays_a_whole_session(demo: Demo) -> None:
    shown = demo.shown
    told = shown.stdout
    assert shown.returncode == 0, told + shown.stderr
    assert "not a sandbox" in shown.stderr
    assert "ERROR: Lines 1..15 exceed the editable range. You may only edit lines 22–31, 88–100, 245–247." in told
    assert "OK: Replaced lines 22..31 with 10 line(s) in nanoGPT/custom_pretrain.py." in told
    losses = [float(loss) for loss in re.findall(r"rmsnorm: step .*val_loss (\d\.\d{4})", told)]
    assert len(losses) >= 10
    assert losses[-1] < losses[0] - 1.5
    for metric in ("val_loss", "wikitext2_ppl", "lambada_ppl"):
        assert re.search(rf"Final metrics \(gpt-smoke\): .*{metric}_gpt-smoke=\d+\.\d{{4}}", told)
    assert "arc_easy_lm-eval-smoke=" in told
    assert "[submit] Finalized test #1 as final." in told
    assert "[NOTE] The training's last report" not in told
    assert "demo-rmsnorm" in told
    assert "demo-template" in told
    assert re.search(r"demo-rmsnorm: Δ [+−]0\.\d{4} ± 0\.\d{4} to the best baseline \(template\): [a-z ]+ \(p ", told)
    [scores] = re.findall(r"│ score +│ (0\.\d{4}) +│ (0\.\d{4}) +│", told)
    assert all(0.2 < float(score) < 0.8 for score in scores)  # neither differs from the best baseline by much
    assert re.search(rf"The page: http://127\.0\.0\.1:\d+/tasks/{TASK}\n", told)


def test_the_demo_stays_until_a_key_is_pressed() -> None:
    ours, theirs = pty.openpty()
    code = "from env.cli.demo import until_key; print('there', flush=True); until_key(); print('gone', flush=True)"
    with started([sys.executable, "-c", code], stdin=theirs) as waiting:
        assert next_line(waiting) == "there\n"
        time.sleep(0.5)
        assert waiting.poll() is None
        os.write(ours, b"q")
        assert next_line(waiting) == "gone\n"
        assert waiting.wait(30) == 0
    os.close(ours)
    os.close(theirs)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_real_test_has_its_compute_data_and_exam_in_its_row(demo: Demo) -> None:
    """Read by a service that goes on where the demo ended."""
    with services(lambda: demo.state, "--runner", "fake") as start, start().client() as client:
        (row,) = client.get(f"/v1/leaderboards/{TASK}", params={"agent": "demo-template"}).json()["rows"]
        result = client.get(f"/v1/results/{row['run_key']}").json()
    record = result["record"]
    assert 0.6 < row["compute"] == result["compute"] < 1.6
    assert record["compute"]["measure"] == "cpu"
    assert record["compute"]["ratio"] == pytest.approx(row["compute"], abs=1e-4)
    assert record["exam"] == {"data_set": "smoke", "sat": True, "why_not": ""}
    assert all(len(digest) == 64 for use in ("training", "held_out") for digest in record["data"][use].values())
    assert record["data"]["reserve"] == {}
    assert len(record["reference"]) == 32
    assert all(run["cpu_s"] > 0 for run in record["runs"])


def test_a_state_folder_serves_one_service(serve: Serve) -> None:
    server = serve("--runner", "fake")
    shown = process("serve", "--runner", "fake", "--port", "0", "--state", str(server.state))
    assert shown.returncode == 2
    assert f"another service uses the state folder {server.state}" in shown.stderr
    server.kill()
    with server.start().client() as client:
        assert client.get("/healthz").is_success


def test_the_version_is_told() -> None:
    shown = ringfence("--version")
    assert shown.exit_code == 0
    assert re.fullmatch(r"ringfence \d+\.\d+\.\d+\n", shown.stdout)


def test_a_folder_that_is_not_there_gets_no_database(tmp_path: Path) -> None:
    shown = ringfence(
        "serve", "--runner", "fake", "--state", str(tmp_path / "s"), "--db", f"sqlite:///{tmp_path}/no/x.db"
    )
    assert shown.exit_code == 2
    assert f"there is no folder {tmp_path}/no for the database" in shown.stderr
    assert not (tmp_path / "no").exists()


def test_an_empty_secret_is_none(tmp_path: Path) -> None:
    (tmp_path / "secret").touch()
    shown = ringfence("serve", "--runner", "fake", "--state", str(tmp_path))
    assert shown.exit_code == 2
    assert f"{tmp_path}/secret holds 0 bytes, and 32 are needed" in shown.stderr
    assert "Traceback" not in shown.stderr
