"""The version: the same for the same question, another one when anything that is asked changes."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tasks.load import load_task, load_tasks
from tasks.model import Task

if TYPE_CHECKING:
    from tests.tasks.conftest import WriteTask


OWN_SCRIPT = {"scripts/gpt_smoke.sh": "exec true\n", "description.md": "Do it.\n"}


def test_json_round_trip() -> None:
    for task in load_tasks().values():
        again = Task.from_json(task.to_json())
        assert again == task
        assert again.to_json() == task.to_json()
        assert list(again.scales["smoke"].settings) == list(
            task.scales["smoke"].settings
        )  # equal dicts may differ here
        assert again.version == task.version


def test_version_is_stable_across_processes(write_task: WriteTask) -> None:
    folder = write_task(OWN_SCRIPT)
    program = "import sys, pathlib, tasks.load as l; print(l.load_task(pathlib.Path(sys.argv[1])).version)"
    answers = [
        subprocess.run(
            [sys.executable, "-c", program, str(folder)],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    assert answers == [load_task(folder).version] * 2


@pytest.mark.parametrize("name", ["custom.py", *OWN_SCRIPT])
def test_version_changes_with_every_file(write_task: WriteTask, template: str, name: str) -> None:
    before = load_task(write_task(OWN_SCRIPT)).version
    changed = {"custom.py": template, **OWN_SCRIPT}[name] + "# more\n"
    assert load_task(write_task({**OWN_SCRIPT, name: changed})).version != before


def test_version_changes_with_a_baseline(write_task: WriteTask) -> None:
    baseline = "title = 'A'\nsource = 'B'\n[[edits]]\nop = 'insert'\nafter_line = 3\ncontent = 'x'\n"
    versions = {load_task(write_task(OWN_SCRIPT)).version}
    for text in (baseline, baseline.replace("'A'", "'C'"), baseline.replace("after_line = 3", "after_line = 4")):
        versions.add(load_task(write_task({**OWN_SCRIPT, "baselines/one.toml": text})).version)
    assert len(versions) == 4


def test_a_task_stored_before_caps_and_baselines_is_the_same_one_today() -> None:
    """As sessions in older databases hold it: its version names it there."""
    stage = {"label": "a", "script": "a.sh", "script_text": "true\n", "role": "train", "timeout_s": 60.0}
    scale = {"name": "smoke", "stages": [stage], "settings": {"SEED": "1"}, "data": {}, "evaluation_data": {}}
    stored = {
        "id": "old", "title": "Old", "description": "Old", "filename": "a.py", "text": "x = 1\n", "editable": [[1, 1]],
        "scales": {"smoke": scale | {"world_size": 2, "memory_mb": 64, "summary": ""}},
        "budget": {"tests": 3, "steps": 0, "checks": 10}, "allow_create": False, "override_keys": [],
        "max_file_bytes": 100,
    }  # fmt: skip
    text = json.dumps(stored, separators=(",", ":"))
    task = Task.from_json(text)
    assert task.to_json() == text
    assert task.baselines == ()
    assert task.scales["smoke"].max_parameters is None
    assert task.scales["smoke"].stages[0].timeout_s == 60


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("my-task", "our-task"),
        ("one's own", "our own"),
        ("pkg/custom.py", "pkg/other.py"),
        ("[3, 14]", "[3, 15]"),
        ("tests = 3", "tests = 4"),
        ("[budget]", "allow_create = true\n[budget]"),
        ("[budget]", "max_file_bytes = 5000\n[budget]"),
        ("[budget]", 'cost_growth = "sub-quadratic"\n[budget]'),
        ('label = "gpt-smoke"', 'label = "gpt-tiny"'),
        ('label = "gpt-smoke"', 'label = "gpt-smoke"\ntimeout_s = 60'),
        ('label = "gpt-smoke"', 'label = "gpt-smoke"\nbaseline_s = 1800\nmax_slowdown = 2'),
        ("[[scales", "[scales.smoke]\nmax_parameters = 9\n[[scales"),
        ("[[scales", "[scales.smoke]\nprobe = 'gpt-345m'\n[scales.gpt-345m]\n[[scales"),
        ("[[scales", "[scales.smoke.settings]\nseed = 7\n[[scales"),
    ],
)
def test_version_changes_with_every_value(write_task: WriteTask, minimal: str, old: str, new: str) -> None:
    before = load_task(write_task(OWN_SCRIPT)).version
    assert old in minimal
    after = load_task(write_task({**OWN_SCRIPT, "task.toml": minimal.replace(old, new, 1)}))
    assert after.version != before


def test_version_ignores_how_task_toml_is_written(write_task: WriteTask, minimal: str) -> None:
    before = load_task(write_task(OWN_SCRIPT)).version
    again = write_task({**OWN_SCRIPT, "task.toml": "# a comment\n" + minimal.replace(" = ", "=")})
    assert load_task(again).version == before


def test_probes_enter_the_version_only_where_a_scale_has_a_proxy(write_task: WriteTask, minimal: str) -> None:
    """So that tasks which were stored before there were probes keep their version."""
    without = load_task(write_task(OWN_SCRIPT)).version
    assert (
        load_task(write_task({**OWN_SCRIPT, "task.toml": minimal.replace("checks", "probes = 2\nchecks")})).version
        == without
    )
    proxied = minimal + "[scales.smoke]\nprobe = 'gpt-345m'\n[scales.gpt-345m]\n"
    six, two = (
        load_task(write_task({**OWN_SCRIPT, "task.toml": text}))
        for text in (proxied, proxied.replace("checks", "probes = 2\nchecks"))
    )
    assert (six.budget.probes, two.budget.probes) == (6, 2)
    assert len({without, six.version, two.version}) == 3
    assert [Task.from_json(task.to_json()) for task in (six, two)] == [six, two]
