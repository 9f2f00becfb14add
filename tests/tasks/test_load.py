"""What a folder becomes: the minimal task, built-in scales beneath the task's own, several folders together."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tasks.errors import TaskError
from tasks.load import load_task, load_tasks
from tasks.model import Baseline, SessionBudget, Task
from templates.render import render, scale, script

if TYPE_CHECKING:
    from tests.tasks.conftest import WriteTask


def test_minimal_task_loads_as_printed(write_task: WriteTask, template: str) -> None:
    task = load_task(write_task({}))
    assert (task.id, task.title, task.filename) == ("my-task", "A task of one's own", "pkg/custom.py")
    assert task.text == template
    assert task.editable == ((3, 14), (20, 22))
    assert task.budget == SessionBudget(tests=3, steps=0, checks=10)
    assert task.description == task.title
    assert not task.allow_create
    (stage,) = task.scales["smoke"].stages
    assert (stage.label, stage.role) == ("gpt-smoke", "train")
    assert stage.script_text == script("scripts/gpt_smoke.sh")


def test_task_without_budget_or_scales_has_the_defaults(write_task: WriteTask, minimal: str) -> None:
    task = load_task(write_task({"task.toml": minimal[: minimal.index("[budget]")]}))
    assert task.budget == SessionBudget()
    assert task.scales == {}


def test_template_may_be_a_built_in_one(write_task: WriteTask, minimal: str) -> None:
    task = load_task(write_task({"task.toml": minimal.replace("custom.py", "custom_pretrain", 1)}))
    assert task.text == render("custom_pretrain")


def test_file_beside_task_toml_goes_before_a_built_in_of_that_name(
    write_task: WriteTask, minimal: str, template: str
) -> None:
    toml = minimal.replace('"custom.py"', '"embedding"', 1)
    task = load_task(write_task({"task.toml": toml, "embedding": template, "scripts/gpt_smoke.sh": "exec true\n"}))
    assert task.text == template
    assert task.scales["smoke"].stages[0].script_text == "exec true\n"


def test_missing_last_newline_is_added(write_task: WriteTask, template: str) -> None:
    assert load_task(write_task({"custom.py": template.rstrip("\n")})).text == template


def test_description_beside_task_toml_is_shown(write_task: WriteTask) -> None:
    task = load_task(write_task({"description.md": "Do it\r\nwell.\n\n"}))
    assert task.description == "Do it\nwell.\n"


def test_built_in_scale_is_named_in_one_line(write_task: WriteTask, minimal: str) -> None:
    toml = minimal[: minimal.index("[[scales")] + "[scales.smoke]\n"
    smoke = load_task(write_task({"task.toml": toml})).scales["smoke"]
    built_in = tomllib.loads(scale("smoke") or "")
    assert [stage.label for stage in smoke.stages] == [stage["label"] for stage in built_in["stages"]]
    assert [stage.role for stage in smoke.stages] == ["train", "evaluate"]
    assert smoke.settings.keys() == {name.upper() for name in built_in["settings"]}
    assert smoke.data == built_in["data"]
    assert smoke.evaluation_data == built_in["evaluation_data"]
    assert smoke.world_size == built_in["world_size"]


def test_own_values_go_over_the_built_in_scale_key_by_key(write_task: WriteTask, minimal: str) -> None:
    toml = minimal[: minimal.index("[[scales")] + (
        "[scales.smoke]\nmemory_mb = 1234\n"
        "[scales.smoke.settings]\nmax_iters = 7\nLEARNING_RATE = 2.5e-4\ncompile = false\nnew_one = 'x y'\n"
    )
    smoke = load_task(write_task({"task.toml": toml})).scales["smoke"]
    built_in = tomllib.loads(scale("smoke") or "")
    own = {"MAX_ITERS": "7", "LEARNING_RATE": "0.00025", "COMPILE": "0", "NEW_ONE": "x y"}
    assert smoke.settings.items() >= own.items()
    assert smoke.settings.keys() == {name.upper() for name in built_in["settings"]} | {"NEW_ONE"}
    assert smoke.memory_mb == 1234
    assert len(smoke.stages) == len(built_in["stages"])


def test_built_in_cap_is_for_the_built_in_shape(write_task: WriteTask, minimal: str) -> None:
    own = "[scales.smoke.settings]\nmax_iters = 7\nn_layer = 2\n"
    built_in = tomllib.loads(scale("smoke") or "")["max_parameters"]
    assert load_task(write_task({})).scales["smoke"].max_parameters == built_in
    assert load_task(write_task({"task.toml": minimal + own})).scales["smoke"].max_parameters == built_in
    deeper = minimal + "[scales.smoke]\nmax_parameters = 5\n[scales.smoke.settings]\nN_LAYER = 9\n"
    assert load_task(write_task({"task.toml": deeper})).scales["smoke"].max_parameters == 5


def test_stage_may_be_limited_as_a_multiple_of_its_baseline(write_task: WriteTask, minimal: str) -> None:
    (stage,) = (
        load_task(write_task({"task.toml": minimal + "baseline_s = 20\nmax_slowdown = 1.5\n"})).scales["smoke"].stages
    )
    assert (stage.baseline_s, stage.max_slowdown, stage.timeout_s) == (20.0, 1.5, 30.0)
    (stage,) = load_task(write_task({"task.toml": minimal})).scales["smoke"].stages
    assert (stage.baseline_s, stage.max_slowdown, stage.timeout_s) == (None, None, 3600.0)


def test_baselines_come_in_name_order_with_their_edits(write_task: WriteTask) -> None:
    edits = "[[edits]]\nop = 'replace'\nstart_line = 3\nend_line = 4\ncontent = '''\nx = 1\n'''\n"
    second = edits + "[[edits]]\nop = 'str_replace'\nold_str = 'x'\nnew_str = ''\n"
    task = load_task(
        write_task(
            {
                "baselines/z.toml": f"title = 'Z'\nsource = 'A book'\n{edits}",
                "baselines/a_b.toml": f"title = 'A'\nsource = 'A paper'\n{second}",
                "baselines/README.md": "Not one of them.\n",
            }
        )
    )
    replace = {"op": "replace", "start_line": 3, "end_line": 4, "content": "x = 1\n"}
    assert task.baselines == (
        Baseline("a_b", "A", "A paper", (replace, {"op": "str_replace", "old_str": "x", "new_str": ""})),
        Baseline("z", "Z", "A book", (replace,)),
    )
    assert Task.from_json(task.to_json()) == task


def test_own_stages_replace_the_built_in_ones_whole(write_task: WriteTask) -> None:
    assert [stage.label for stage in load_task(write_task({})).scales["smoke"].stages] == ["gpt-smoke"]


def test_own_evaluation_script_may_stand_alone(write_task: WriteTask, minimal: str) -> None:
    toml = minimal.replace("scripts/gpt_smoke.sh", "score.sh") + 'role = "evaluate"\n'
    (stage,) = load_task(write_task({"task.toml": toml, "score.sh": "exec true\n"})).scales["smoke"].stages
    assert (stage.role, stage.script_text) == ("evaluate", "exec true\n")


def test_extra_folder_is_a_task_or_holds_tasks(write_task: WriteTask, tmp_path: Path) -> None:
    folder = write_task({})
    (tmp_path / "notes").mkdir()
    built_in = load_tasks().keys()
    for given in (folder, tmp_path):
        assert load_tasks([given]).keys() == built_in | {"my-task"}
    assert load_tasks([folder, tmp_path]).keys() == built_in | {"my-task"}


def test_duplicate_id_names_both_folders(write_task: WriteTask, tmp_path: Path) -> None:
    folder = write_task({})
    shutil.copytree(folder, tmp_path / "other")
    with pytest.raises(TaskError) as caught:
        load_tasks([tmp_path])
    assert caught.value.file == tmp_path / "other" / "task.toml"
    assert caught.value.key == "id"
    assert str(folder) in caught.value.message


def test_errors_of_several_folders_come_together(write_task: WriteTask, tmp_path: Path) -> None:
    shutil.copytree(write_task({"task.toml": "id = 1\n"}), tmp_path / "other")
    with pytest.raises(TaskError) as caught:
        load_tasks([tmp_path])
    text = str(caught.value)
    for folder in ("my-task", "other"):
        assert f"{tmp_path / folder / 'task.toml'}: id: must be a string, not an integer" in text
        assert f"{tmp_path / folder / 'task.toml'}: title: is required" in text


@pytest.mark.parametrize(("make", "fragment"), [(False, "no such folder"), (True, "no task.toml")])
def test_folder_without_tasks_is_an_error(tmp_path: Path, make: bool, fragment: str) -> None:
    given = tmp_path / "tasks"
    if make:
        given.mkdir()
    with pytest.raises(TaskError, match=fragment) as caught:
        load_tasks([given])
    assert caught.value.file == given
