"""`ringfence baseline run`: baselines on agents' own path, measured over seeds, frozen as anchors."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tasks.anchors import load_anchors
from tasks.load import load_task
from tests.support.command import ringfence
from tests.support.processes import run_to_end, started
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.support.service import Serve, Server

TASK = """\
id = "tiny"
title = "A task whose loss is written in its file"
template = "custom.py"
filename = "pkg/custom.py"
editable = [[2, 2]]
[scales.smoke]
world_size = 1
[scales.smoke.settings]
seed = 42
[[scales.smoke.stages]]
label = "measure"
script = "measure.sh"
role = "evaluate"
timeout_s = 60
"""
# The evaluation sees the operator's script only: what differs here is the seed.
MEASURE = """\
{before}
echo "{{\\"metrics\\": {{\\"val_loss\\": 2.$SEED, \\"piqa\\": 60}}}}" > "$OUT_DIR/metrics.json"
"""
BASELINE = """\
title = "Two"
source = "Nobody"
[[edits]]
op = "replace"
start_line = 2
end_line = 2
content = "LOSS = 2"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    (folder / "baselines").mkdir(parents=True)
    (folder / "task.toml").write_text(TASK)
    (folder / "custom.py").write_text("# A file\nLOSS = 1\nprint(LOSS)\n")
    (folder / "measure.sh").write_text(MEASURE.format(before="true"))
    (folder / "baselines" / "two.toml").write_text(BASELINE)
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


def command(state: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "env.cli", "baseline", "run", "--state", str(state), *arguments]


def run(state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_to_end(command(state, *arguments))


def rows(server: Server, task: str, **query: Any) -> list[dict[str, Any]]:
    with server.client() as client:
        found: list[dict[str, Any]] = client.get(f"/v1/leaderboards/{task}", params=query).json()["rows"]
    return found


def test_each_baseline_and_the_unedited_file_play_once_per_seed(serve: Serve, tmp_path: Path) -> None:
    ran = run(tmp_path / "state0", "llm-pretrain-loss", "--runner", "fake", "--seeds", "7,8")
    assert ran.returncode == 0, ran.stderr
    assert "val_loss_gpt-smoke" in ran.stdout
    server = serve("--runner", "fake")
    board = rows(server, "llm-pretrain-loss", sort="timestamp")
    names = ("label_smoothing", "softcap_ce", "template", "z_loss")
    assert sorted((row["agent"], row["seed"], row["is_final"]) for row in board) == [
        (f"baseline:{name}", seed, True) for name in names for seed in (7, 8)
    ]
    assert {row["agent"] for row in board if row["template_unmodified"]} == {"baseline:template"}
    with server.client() as client:
        result = client.get(f"/v1/results/{board[0]['run_key']}").json()
        assert result["record"]["settings"]["SEED"] == str(board[0]["seed"])
        assert result["task_version"] == client.get("/v1/tasks/llm-pretrain-loss").json()["version"]
        edited = next(row for row in board if row["agent"] == "baseline:z_loss")
        steps = client.get(f"/v1/sessions/{edited['session_id']}/trajectory").json()["steps"]
    assert [step["tool"] for step in steps] == ["edit", "test", "submit"]


def test_anchors_are_written_and_score_the_baselines(serve: Serve, tmp_path: Path, folder: Path, data: Path) -> None:
    where = ("--runner", "local", "--tasks", str(folder), "--data", str(data))
    ran = run(tmp_path / "state0", "tiny", *where, "--seeds", "1,3", "--write-anchors")
    assert ran.returncode == 0, ran.stderr
    assert f"Anchors written to {folder / 'anchors.toml'}" in ran.stdout.replace("\n", "")
    found = load_anchors(folder)["smoke"]
    assert (found.task_version, found.seeds) == (load_task(folder).version, [1, 3])
    assert found.provenance.runner == "local"
    loss, accuracy = found.metrics
    assert loss.baselines == {"template": [2.1, 2.3], "two": [2.1, 2.3]}
    assert loss.noise == pytest.approx(0.02**0.5)
    assert (loss.weight, accuracy.metric, accuracy.weight) == (0.0, "piqa", 0.0)
    server = serve(*where)
    assert [row["delta_noise"] for row in rows(server, "tiny", sort="val_loss_measure")] == [
        pytest.approx(0.5**0.5),
        pytest.approx(0.5**0.5),
        pytest.approx(-(0.5**0.5)),
        pytest.approx(-(0.5**0.5)),
    ]


def test_without_every_result_there_are_no_anchors(tmp_path: Path, folder: Path, data: Path) -> None:
    (folder / "measure.sh").write_text(MEASURE.format(before='test "$SEED" != 3 || exit 1'))
    where = ("--runner", "local", "--tasks", str(folder), "--data", str(data))
    ran = run(tmp_path / "state0", "tiny", *where, "--seeds", "1,3", "--write-anchors")
    assert ran.returncode == 1
    assert "No anchors for tiny: template with seed 3 ended as failed." in ran.stderr
    assert not (folder / "anchors.toml").exists()


def test_interrupted_it_stops_what_runs_even_in_the_background(tmp_path: Path, folder: Path, data: Path) -> None:
    (folder / "measure.sh").write_text(MEASURE.format(before=f"echo x >> {tmp_path / 'started'}; sleep 300"))
    where = ("--runner", "local", "--tasks", str(folder), "--data", str(data))
    # As a shell starts its background jobs.
    ignoring = ("sh", "-c", 'trap "" INT; exec "$@"', "sh")
    with started([*ignoring, *command(tmp_path / "state0", "tiny", *where)]) as process:
        until(lambda: (tmp_path / "started").exists() or process.poll() is not None)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopped, and with it the tests that ran." in told
    assert list((tmp_path / "state0" / "runs").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "name one task, or give --all"),
        (("llm-pretrain-loss", "--all"), "name one task, or give --all"),
        (("nope",), "there is no task 'nope'. Tasks: "),
        (("llm-pretrain-loss", "--scale", "huge"), "has no scale 'huge'. Its scales: smoke, gpt-124m, gpt-345m"),
        (("llm-pretrain-loss", "--baseline", "rope"), "has no baseline 'rope'. There are: template, label_smoothing"),
        (("llm-pretrain-loss", "--seeds", "1,x"), "no list of whole numbers"),
        (("llm-pretrain-loss", "--seeds", "1,1"), "more than once"),
        (("llm-pretrain-loss", "--write-anchors"), "takes no --baseline and no --runner fake"),
    ],
)
def test_mistakes_are_told_before_anything_runs(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    ran = ringfence(*command(tmp_path / "state0", *arguments)[3:], "--runner", "fake")
    assert ran.exit_code == 2
    assert ran.stderr.startswith("ERROR: ")
    assert told in ran.stderr
    assert not (tmp_path / "state0").exists()


def test_the_agents_name_stays_reserved(shared: Server) -> None:
    with shared.client() as client:
        refused = client.post("/v1/sessions", json={"task": "llm-pretrain-loss", "agent": "baseline:template"})
    assert refused.status_code == 422
    assert refused.json()["code"] == "bad_agent"
