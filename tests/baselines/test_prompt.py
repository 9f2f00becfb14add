"""Baselines in the prompt, and what is said of one that does not fit its task's file."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from env.document.baselines import baseline_document, check_baselines
from env.service.prompt import prompt
from tasks.errors import TaskError
from tasks.load import load_task
from tasks.model import Baseline, Task


def test_each_is_shown_with_its_source_and_the_ranges_it_changes(case) -> None:
    text = prompt(case.task, "smoke")
    before_the_file = text.partition("\n## The file\n")[0]
    baseline = next(b for b in case.task.baselines if b.name == case.name)
    assert f"### {baseline.name}: {baseline.title}\nSource: {baseline.source}\n" in before_the_file
    for (first, last), old, new in zip(case.task.editable, case.original.editable, case.edited.editable, strict=True):
        shown = f"\nLines {first}–{last}:\n```python\n{new.text.rstrip()}\n```\n" in before_the_file
        assert shown == (new != old), f"lines {first}–{last}"


def test_the_file_in_the_prompt_is_the_unedited_one(case) -> None:
    listed = prompt(case.task, "smoke").partition("\n## The file\n")[2]
    assert all(f"{number:6d}: {line}" in listed for number, line in enumerate(case.task.lines, 1) if line)


def test_the_prompt_tells_the_cap(tasks: dict[str, Task]) -> None:
    assert "at most 228,280 numbers" in prompt(tasks["llm-pretrain-embedding"], "smoke")
    assert "at most 696,851,122 numbers" in prompt(tasks["llm-pretrain-embedding"], "gpt-345m")


def test_a_task_without_baselines_says_nothing_of_them(tasks: dict[str, Task]) -> None:
    assert "## Baselines" not in prompt(replace(tasks["llm-pretrain-loss"], baselines=()), "smoke")


def test_every_edit_counts_lines_as_they_are_by_then(tasks: dict[str, Task]) -> None:
    edits = (
        {"op": "insert", "after_line": 187, "content": "# one\n# two\n"},
        {"op": "replace", "start_line": 190, "end_line": 193, "content": "# three\n"},
        {"op": "str_replace", "old_str": "# two", "new_str": "# 2"},
    )
    document = baseline_document(tasks["llm-pretrain-loss"], Baseline("one", "One", "Nowhere", edits))
    assert document.editable[0].lines == ("# one", "# 2", "# three")


@pytest.mark.parametrize(
    ("edit", "fragment"),
    [
        ({"op": "replace", "start_line": 180, "end_line": 191, "content": ""}, "exceed the editable range"),
        ({"op": "replace", "start_line": 188, "end_line": 999, "content": ""}, "beyond the end of the file"),
        ({"op": "insert", "after_line": 5, "content": "x"}, "outside the editable range"),
        ({"op": "insert", "after_line": 188, "content": "a\x0bb"}, "line"),
        ({"op": "str_replace", "old_str": "nowhere", "new_str": ""}, "does not occur in the file"),
    ],
)
def test_an_edit_that_does_not_fit_is_told_by_file_and_key(edit, fragment, tasks: dict[str, Task]) -> None:
    good = {"op": "insert", "after_line": 188, "content": "# fine\n"}
    bad = Baseline("one", "One", "Nowhere", (good, edit))
    with pytest.raises(TaskError) as caught:
        check_baselines(replace(tasks["llm-pretrain-loss"], baselines=(bad, replace(bad, name="two"))))
    assert str(caught.value.file) == "llm-pretrain-loss/baselines/one.toml"
    assert caught.value.key == "edits[1]"
    assert fragment in caught.value.message
    assert [error.file.name for error in caught.value.further] == ["two.toml"]


@pytest.mark.parametrize("command", ["check", "serve"])
def test_commands_refuse_a_task_with_such_a_baseline(command: str, tmp_path: Path) -> None:
    folder = tmp_path / "my-task"
    (folder / "baselines").mkdir(parents=True)
    (folder / "custom.py").write_text("x = 1\ny = 2\n")
    (folder / "task.toml").write_text(
        'id = "my-task"\ntitle = "T"\ntemplate = "custom.py"\nfilename = "a.py"\neditable = [[1, 1]]\n'
    )
    (folder / "baselines" / "one.toml").write_text(
        "title = 'One'\nsource = 'Nowhere'\n[[edits]]\nop = 'insert'\nafter_line = 2\ncontent = 'z = 3'\n"
    )
    assert load_task(folder).baselines[0].name == "one"
    arguments = ["task", "check", folder] if command == "check" else ["serve", "--runner", "fake", "--tasks", folder]
    done = subprocess.run(
        [Path(sys.executable).with_name("ringfence"), *arguments],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == {"check": 1, "serve": 2}[command]
    said = " ".join((done.stdout + done.stderr).split())
    assert "my-task/baselines/one.toml: edits[0]: Line 2 is outside the editable range." in said
    assert "Traceback" not in said
