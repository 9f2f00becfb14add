"""What a task's author meets: a new folder that works at once, and a check that finds what is wrong."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from env.operators.authoring.landmarks import find_range, landmarks
from tasks.load import load_task
from templates.render import names, render
from tests.support.command import ringfence

RMS = """\
title = "Normalization by the root mean square alone"
source = "Zhang and Sennrich 2019"

[[edits]]
op = "str_replace"
old_str = "F.layer_norm(input, self.weight.shape, self.weight, self.bias, 1e-5)"
new_str = "input * torch.rsqrt(input.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight"
"""


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    made = ringfence(
        "task", "new", "my-norm", "--editable", "LayerNorm", "--editable", "CONFIG_OVERRIDES", cwd=tmp_path
    )
    assert made.exit_code == 0, made.stderr
    return tmp_path / "my-norm"


def test_a_new_task_is_complete(fresh: Path) -> None:
    task = load_task(fresh)
    assert task.editable == ((22, 30), (245, 247))
    assert "learning_rate" in task.override_keys
    assert list(task.scales) == ["smoke", "gpt-124m", "gpt-345m"]
    assert task.scales["gpt-345m"].probe == "gpt-124m"
    assert "Lines 22–30, `LayerNorm`" in task.description
    assert (fresh / "baselines" / "README.md").is_file()


@pytest.mark.parametrize("template", sorted(names()))
def test_every_class_of_every_template_makes_a_task(tmp_path: Path, template: str) -> None:
    known = landmarks(render(template))
    assert {"LayerNorm", "Block", "GPT.forward", "get_lr", "CONFIG_OVERRIDES"} <= known.keys()
    for name in ("Block", "GPT.forward"):
        made = ringfence(
            "task", "new", "one", "--template", template, "--editable", name, "--folder", name, cwd=tmp_path
        )
        assert made.exit_code == 0, made.stderr
        assert load_task(tmp_path / name).editable == (known[name],)


def test_an_own_script_is_copied_into_the_folder(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("first = 1\nsecond = 2\nthird = 3\n")
    made = ringfence(
        "task", "new", "own", "--template", "own.py", "--editable", "2", "--filename", "a/b.py", cwd=tmp_path
    )
    assert made.exit_code == 0, made.stderr
    task = load_task(tmp_path / "own")
    assert (task.editable, task.filename, task.scales) == (((2, 2),), "a/b.py", {})
    assert "edited but not tested" in made.stdout
    assert ringfence("task", "check", "own", cwd=tmp_path).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "ID is missing"),
        (["my-task"], "--editable is missing"),
        (["my-task", "--editable", "Blok"], "Block (88-99)"),
        (["my-task", "--editable", "22-9999"], "it has 437 lines"),
        (["my-task", "--editable", "22-30", "--editable", "31"], "touch"),
        (["my-task", "--editable", "0-3"], "editable[0][0]"),
        (["My Task", "--editable", "Block"], "a-z, 0-9"),
        (["my-task", "--editable", "Block", "--template", "nope"], "custom_pretrain"),
        (["my-task", "--editable", "Block", "--template", "nope.py"], "nope.py"),
        (["my-task", "--editable", "Block", "--filename", "../x.py"], "`..` is not allowed"),
        (["my-task", "--editable", "Block", "--folder", "taken"], "not an empty folder"),
    ],
)
def test_a_draft_that_makes_no_task_leaves_nothing_behind(tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    shown = ringfence("task", "new", *arguments, cwd=tmp_path)
    assert shown.exit_code in (1, 2)
    assert said in shown.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_in_a_terminal_it_asks(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, b"asked-for\n\n\nget_lr\n")
    try:
        command = [sys.executable, "-m", "env.cli", "task", "new"]
        made = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, stdin=theirs, timeout=100)
    finally:
        os.close(ours)
        os.close(theirs)
    assert made.returncode == 0, made.stderr
    assert "Block (88-99)" in made.stdout
    assert load_task(tmp_path / "asked-for").title == "Asked for"


@pytest.mark.slow
@pytest.mark.timeout(300)  # two scripts, each in a process of its own; a baseline that passes is in docs/operators.md
def test_check_takes_two_steps_of_the_script_and_of_each_baseline(fresh: Path) -> None:
    (fresh / "baselines" / "broken.toml").write_text(RMS.replace("-1, keepdim=True", "-1"))
    shown = ringfence("task", "check", str(fresh), cwd=fresh)
    assert shown.exit_code == 1
    assert "ok  the unedited script (" in shown.stdout
    assert "FAILED  baseline broken (" in shown.stdout
    assert "RuntimeError: The size of tensor a" in shown.stdout
    assert f"ERROR: {fresh / 'baselines' / 'broken.toml'}: edits: two optimizer steps failed" in shown.stderr


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("task.toml", "[245, 247]", "[245, 999]", "task.toml: editable: [245, 999] is out of the file"),
        ("task.toml", "[scales.smoke]", "[scales.huge]", "task.toml: scales.huge"),
        ("task.toml", "[scales.smoke]", "[scales.smoke]\nsettings.n_layer = 3", "max_parameters"),
        ("baselines/rms.toml", "F.layer_norm(input", "F.layer_norm(inputs", "rms.toml: edits[0]: "),
        ("baselines/rms.toml", "input * torch", "(input * torch", "rms.toml: edits: edited like this, the file fails"),
        ("baselines/rms.toml", "old_str", "old_string", "rms.toml: edits[0]"),
        ("baselines/rms.toml", "title", "titel", "rms.toml: "),
    ],
)
def test_check_names_file_and_key(fresh: Path, file: str, old: str, new: str, said: str) -> None:
    (fresh / "baselines" / "rms.toml").write_text(RMS)
    text = (fresh / file).read_text()
    assert old in text
    (fresh / file).write_text(text.replace(old, new, 1))
    shown = ringfence("task", "check", str(fresh), "--no-run", cwd=fresh)
    assert shown.exit_code == 1
    assert said in shown.stderr


def test_check_without_runs_shows_baselines_and_caps(fresh: Path) -> None:
    (fresh / "baselines" / "rms.toml").write_text(RMS)
    shown = ringfence("task", "check", str(fresh), "--no-run", cwd=fresh)
    assert shown.exit_code == 0
    assert "at most 125,059 parameters" in shown.stdout
    assert (
        "baseline rms: Normalization by the root mean square alone (Zhang and Sennrich 2019); 1 edit(s)" in shown.stdout
    )
    assert "optimizer steps" not in shown.stdout


@pytest.mark.parametrize(("wanted", "lines"), [("22-31", (22, 31)), ("22–31", (22, 31)), ("7", (7, 7))])
def test_ranges_may_be_written_as_lines(wanted: str, lines: tuple[int, int]) -> None:
    assert find_range("", wanted) == lines
