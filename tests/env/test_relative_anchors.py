"""Anchors relative to the unedited file: frozen from several data folders, resolved on one, compared with results.

Nothing is trained here: results and references are written as trainings would have left them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from env.lifecycle.record import data_digests
from env.lifecycle.reference import ReferenceTable, put, recipe
from env.lifecycle.unedited import SEEDS, absolute, relative, unedited
from env.operators.measure.expected import student
from env.service.scoring import scoring_of
from env.store.engine import open_database
from leaderboard import writing
from leaderboard.board import data_key
from leaderboard.model import Result
from leaderboard.naming import NOT_SUBQUADRATIC, baseline_agent
from tasks.anchors import load_anchors
from tasks.load import load_task
from tasks.model import Task
from tests.support.command import ringfence

NOW = datetime(2026, 11, 3, tzinfo=UTC)
TASK = """\
id = "norms"
title = "A task with the built-in script"
template = "custom_pretrain"
filename = "nanoGPT/custom_pretrain.py"
editable = [[22, 31]]
[scales.smoke]
"""
ASKS_MORE = TASK.replace("editable", 'cost_growth = "sub-quadratic"\neditable')
BASELINE = """\
title = "{name}"
source = "Nobody"
[[edits]]
op = "replace"
start_line = 22
end_line = 22
content = "class LayerNorm(nn.Module):  # {name}"
"""
LOSSES = {"template": 0.0, "better": -0.3, "worse": 0.2}
"""In nats above the unedited file's mean."""
NOISE = 0.01
Folder = Callable[..., Path]


@pytest.fixture
def task_folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / "norms"
    (folder / "baselines").mkdir(parents=True)
    (folder / "task.toml").write_text(getattr(request, "param", TASK))
    for name in ("better", "worse"):
        (folder / "baselines" / f"{name}.toml").write_text(BASELINE.format(name=name))
    return folder


@pytest.fixture
def task(task_folder: Path) -> Task:
    return load_task(task_folder)


def measured(loss: float, luck: float) -> dict[str, float]:
    """Perplexities as those of words of six tokens, in a text that is harder than the held-out one."""
    return {
        "val_loss": loss + luck,
        "wikitext2_ppl": math.exp(6 * (loss + luck)),
        "lambada_ppl": math.exp(6 * loss + 9 * luck),
    }


@pytest.fixture
def played(tmp_path: Path, task: Task) -> Folder:
    """A state folder in which the unedited file reaches `level` on the folder's own data, and the baselines have played
    at these seeds; `worst` is what the worst of them reached. Where the task asks for more, the unedited file misses.
    """

    def play(number: int, level: float, seeds: tuple[int, ...] = (42, 43, 44), worst: float = 0.2) -> Path:
        state, luck = tmp_path / f"state{number}", Random(number)
        scale = task.scales["smoke"]
        for name, files in (("train", ["train.bin", "dev.bin"]), ("heldout", ["heldout.bin", "lambada.jsonl"])):
            folder = state / "data" / "smoke" / name
            folder.mkdir(parents=True)
            noted = {"format": 3, "sha256": {file: f"{number}-{file}" for file in files}}
            (folder / "meta.json").write_text(json.dumps(noted))
        for seed in SEEDS:
            note_unedited(task, state / "data", seed, measured(level, luck.gauss(0, NOISE)))
        engine = open_database(f"sqlite:///{state / 'ringfence.db'}")
        with engine.begin() as conn:
            for name, above in {**LOSSES, "worse": worst}.items():
                for seed in seeds:
                    metrics = measured(level + above, luck.gauss(0, NOISE))
                    record(conn, task, name, seed, metrics, data_digests(scale, state / "data"))
        engine.dispose()
        return state

    return play


def note_unedited(task: Task, data: Path, seed: int, metrics: dict[str, float]) -> None:
    scale = task.scales["smoke"]
    wanted = recipe(task, scale, data, seed)
    assert wanted is not None
    table = ReferenceTable(
        heldout_loss=metrics["val_loss"],
        training_s=7.0,
        cpu_s=7.0,
        settings=dict(wanted.scale.settings),
        world_size=2,
        seed=seed,
        machine={},
        ringfence="1",
        data={},
        script_sha256="",
        checkpoint_sha256="",
        metrics=metrics,
        data_key=data_key(data_digests(scale, data)),
    )
    put(data, wanted.key, table, b"weights")


def record(conn, task: Task, name: str, seed: int, metrics: dict[str, float], digests) -> None:
    session = f"{name}-{seed}"
    result = Result(
        run_key=f"{session}-1",
        task_id=task.id,
        task_version=task.version,
        agent=baseline_agent(name),
        session_id=session,
        test=1,
        status="succeeded",
        scale="smoke",
        seed=seed,
        finished_at=NOW,
        unmet=NOT_SUBQUADRATIC if task.cost_growth and name == "template" else None,
        metrics={
            **{f"{metric}_gpt-smoke": value for metric, value in metrics.items()},
            "arc_easy_lm-eval-smoke": 30.0,
            "piqa_lm-eval-smoke": 100.0,
        },
        record={"data": digests, "machine": {"runner": "local", "cpu": "one", "gpus": "none", "torch": "2"}},
    )
    assert writing.record(conn, result)
    writing.submit(conn, session, result.run_key, NOW)


def baseline(command: str, folder: Path, *states: Path, more: tuple[str, ...] = ()):
    where = [argument for state in states for argument in ("--state", str(state))]
    return ringfence("baseline", command, "norms", "--tasks", str(folder), *where, *more)


def test_anchors_of_several_folders_fit_another_one(task_folder: Path, played: Folder) -> None:
    frozen = baseline("freeze", task_folder, played(1, 1.8), played(2, 1.9), played(3, 1.85))
    assert frozen.exit_code == 0, frozen.stderr
    anchors = load_anchors(task_folder)["smoke"]
    assert (anchors.relative, len(set(anchors.data)), anchors.provenance.hardware) == (True, 3, "one")
    # A hundred drawn questions score nothing.
    assert [(one.metric, one.weight) for one in anchors.metrics] == [
        ("val_loss", 1.0),
        ("wikitext2_ppl", 1.0),
        ("lambada_ppl", 1.0),
    ]
    loss = anchors.metrics[0]
    assert (loss.floor, loss.ref) == (pytest.approx(0.2, abs=0.02), pytest.approx(-0.3, abs=0.02))
    assert loss.noise == pytest.approx(NOISE, rel=0.6)
    assert {name: len(values) for name, values in loss.baselines.items()} == {"template": 9, "better": 9, "worse": 9}

    elsewhere = played(4, 2.3, seeds=(45,))
    task = load_task(task_folder)
    scoring = scoring_of(task, "smoke", anchors, elsewhere / "data")
    here = unedited(task, task.scales["smoke"], elsewhere / "data")
    assert scoring.unedited == here
    assert here is not None
    assert scoring.formula is not None
    assert scoring.formula.score({f"{name}_gpt-smoke": value for name, value in measured(2.0, 0.0).items()}) == (
        pytest.approx(0.5, abs=0.04)
    )
    shown = baseline("show", task_folder, elsewhere)
    assert shown.exit_code == 0, shown.stdout
    assert shown.stdout.count("within noise") == 4
    assert "3 of 3 within noise of their anchors." in shown.stdout


def test_a_baseline_that_came_out_otherwise_is_outside(task_folder: Path, played: Folder) -> None:
    assert baseline("freeze", task_folder, played(1, 1.8), played(2, 1.9)).exit_code == 0
    shown = baseline("show", task_folder, played(5, 1.9, seeds=(45,), worst=0.4))
    assert shown.exit_code == 1
    assert "2 of 3 within noise of their anchors." in shown.stdout
    assert shown.stdout.count("OUTSIDE") == 1


@pytest.mark.parametrize("task_folder", [ASKS_MORE], indirect=True)
def test_what_misses_its_tasks_question_is_no_anchor(task_folder: Path, played: Folder) -> None:
    first = played(1, 1.8, worst=-0.1)
    frozen = baseline("freeze", task_folder, first)
    assert frozen.exit_code == 0, frozen.stderr
    loss = load_anchors(task_folder)["smoke"].metrics[0]
    assert list(loss.baselines) == ["better", "worse"]
    assert loss.floor == pytest.approx(-0.1, abs=0.02)
    assert "2 of 2 within noise of their anchors." in baseline("show", task_folder, first).stdout


def test_nothing_is_frozen_unless_all_is_there(task_folder: Path, played: Folder) -> None:
    missing = baseline("freeze", task_folder, played(1, 1.8), more=("--seeds", "42,46"))
    assert missing.exit_code == 1
    assert "No anchors for norms: better has no submitted result with seed 46" in missing.stderr
    assert not (task_folder / "anchors.toml").exists()
    nowhere = baseline("show", task_folder, task_folder)
    assert nowhere.exit_code == 2
    assert "there is no database" in nowhere.stderr


def test_there_are_no_scores_until_every_seed_is_measured(task_folder: Path, played: Folder, tmp_path: Path) -> None:
    first = played(1, 1.8)
    assert baseline("freeze", task_folder, first).exit_code == 0
    task, anchors = load_task(task_folder), load_anchors(task_folder)["smoke"]
    fresh = played(2, 1.9) / "data"
    known = sorted((fresh / "reference").glob("*/reference.json"))[0]
    whole = known.read_text()
    known.unlink()
    waiting = scoring_of(task, "smoke", anchors, fresh)
    assert (waiting.formula, waiting.waits, waiting.metrics) == (None, True, ())
    assert waiting.reason is not None
    assert "2 are done" in waiting.reason
    # What was measured on other data counts for nothing, nor does what an older version left without metrics.
    for changes in ({"data_key": "d" * 64}, {"metrics": {}}):
        known.write_text(json.dumps({**json.loads(whole), **changes}))
        assert scoring_of(task, "smoke", anchors, fresh).waits
    known.write_text(whole)
    assert scoring_of(task, "smoke", anchors, fresh).formula is not None
    assert scoring_of(task, "smoke", anchors, tmp_path / "nowhere").formula is None
    assert scoring_of(task, "smoke", anchors, None).formula is None


def test_a_reference_without_metrics_gets_them_and_stays(task: Task, played: Folder) -> None:
    data = played(1, 1.8) / "data"
    file = sorted((data / "reference").glob("*/reference.json"))[0]
    before = json.loads(file.read_text())
    file.write_text(json.dumps({**before, "metrics": {}, "data_key": None, "training_s": 5.0}))
    note_unedited(task, data, before["seed"], before["metrics"])
    assert json.loads(file.read_text()) == {**before, "training_s": 5.0}
    note_unedited(task, data, before["seed"], dict.fromkeys(before["metrics"], 1.0))
    assert json.loads(file.read_text()) == {**before, "training_s": 5.0}


def test_what_else_a_task_asks_for_is_a_part_of_its_question(task: Task) -> None:
    asks_more = replace(task, cost_growth="sub-quadratic")
    assert asks_more.question("smoke") != task.question("smoke")
    assert replace(task, description="Another text.").question("smoke") == task.question("smoke")


@pytest.mark.parametrize("metric", ["val_loss", "lambada_ppl", "piqa"])
def test_relative_figures_and_their_inverse(metric: str) -> None:
    assert absolute(metric, relative(metric, 12.0, 10.0), 10.0) == pytest.approx(12.0)
    assert relative(metric, 10.0, 10.0) == 0.0


def test_a_ratio_of_perplexities_is_a_difference_of_losses() -> None:
    assert relative("x_ppl", math.exp(2.5), math.exp(2.0)) == pytest.approx(0.5)
    assert relative("val_loss", 2.5, 2.0) == 0.5


@pytest.mark.parametrize(("freedom", "deviations"), [(5, 5.51), (8, 4.28), (16, 3.54), (30, 3.27), (10**6, 3.0)])
def test_few_degrees_of_freedom_widen_what_counts_as_noise(freedom: int, deviations: float) -> None:
    """Against a table of Student's distribution: two-sided, 0.27 per cent."""
    assert student(freedom) == pytest.approx(deviations, rel=0.02)
