"""One web text in another's place: the scales that read any, and nothing else of a task."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from env.lifecycle.plan import exam_data_set
from env.lifecycle.reference import recipe
from tasks.data_sets import TextData, data_set_of, scale_reading, task_reading
from tasks.load import load_tasks
from tasks.model import Task
from tasks.scales import builtin_scale


@pytest.fixture(scope="module")
def task() -> Task:
    return load_tasks()["llm-pretrain-normalization"]


@pytest.mark.parametrize("name", ["gpt-345m", "gpt-124m"])
def test_a_scale_of_web_text_reads_the_one_that_is_wanted(task: Task, name: str) -> None:
    scale = task_reading(task, TextData.CLIMBMIX).scales[name]
    assert scale.data == {"DATA_DIR": "climbmix/train"}
    assert scale.evaluation_data == {"EVAL_DATA_DIR": "climbmix/heldout"}
    assert "Data: ClimbMix in GPT-2 tokens" in scale.summary
    assert "FineWeb" not in scale.summary
    assert (data_set_of(scale), exam_data_set(scale)) == (TextData.CLIMBMIX, "climbmix")
    assert scale.settings == task.scales[name].settings


def test_other_scales_stay_and_so_does_a_task_that_reads_it_already(task: Task) -> None:
    other = task_reading(task, TextData.CLIMBMIX)
    assert other.scales["smoke"] == task.scales["smoke"]
    assert data_set_of(task.scales["smoke"]) is None
    assert task_reading(task, TextData.FINEWEB10B) == task
    assert task_reading(other, TextData.FINEWEB10B) == task


def test_it_is_another_version_so_that_no_board_mixes_them(task: Task) -> None:
    assert task_reading(task, TextData.CLIMBMIX).version != task.version


def test_builtin_scales_can_be_moved_alike() -> None:
    scale = builtin_scale("gpt-345m")
    assert scale is not None
    assert scale_reading(scale, TextData.CLIMBMIX).data == {"DATA_DIR": "climbmix/train"}


def test_tasks_share_their_reference_on_either_text_and_no_two_texts_do(tmp_path: Path) -> None:
    keys = set()
    for data_set in TextData:
        for folder, file in (("train", "train.bin"), ("heldout", "heldout.bin")):
            place = tmp_path / data_set / folder
            place.mkdir(parents=True)
            about = {"files": {file: {"bytes": 1, "sha256": f"of {data_set}"}}}
            (place / "meta.json").write_text(json.dumps(about))
        tasks = [task_reading(task, data_set) for task in load_tasks().values()]
        found = [recipe(task, task.scales["gpt-345m"], tmp_path) for task in tasks]
        keys.add(frozenset(one.key for one in found if one is not None))
    assert sorted(map(len, keys)) == [1, 1]
