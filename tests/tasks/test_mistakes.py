"""Every mistake in a task folder ends in an error that names the file, the key and what is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tasks.errors import TaskError
from tasks.load import load_task

if TYPE_CHECKING:
    from tests.tasks.conftest import WriteTask


SMOKE = "scales.smoke"
STAGE = f"{SMOKE}.stages[0]"
SET = f"{SMOKE}.settings"
SETTINGS = f"[{SET}]\n"


class Mistake(NamedTuple):
    key: str
    fragment: str
    old: str = ""
    """Replaced in task.toml by `new`; empty appends `new`."""
    new: str = ""
    files: Mapping[str, str | bytes] = {}
    file: str = "task.toml"


def stage(label: str, script: str, extra: str = "") -> str:
    return f'[[scales.smoke.stages]]\nlabel = "{label}"\nscript = "{script}"\n{extra}'


def baseline(source: str = "source = 'A paper'\n", edit: str = "op = 'insert'\nafter_line = 3\ncontent = 'x'\n") -> str:
    return f"title = 'A method'\n{source}[[edits]]\n{edit}"


BASELINE = "baselines/one.toml"
MISTAKES = {
    # the file itself
    "TOML syntax": Mistake("line 3", "not TOML", 'template = "', 'template = x"'),
    "TOML ends early": Mistake("line 13", "not TOML", new="x = ["),
    "key twice": Mistake("line 2", "not TOML", 'title = "A', 'id = "A'),
    "endless number": Mistake("", "not TOML", "tests = 3", "tests = " + "9" * 5000),
    "endless nesting": Mistake("", "not TOML", "tests = 3", "tests = " + "[" * 5000),
    "not UTF-8": Mistake("line 2", "byte 0xe9 is not UTF-8", files={"task.toml": b'id = "a"\ntitle = "\xe9"\n'}),
    "byte order mark": Mistake("line 1", "byte order mark", files={"task.toml": b'\xef\xbb\xbfid = "a"\n'}),
    # keys and types
    "unknown key": Mistake("budget.test", "did you mean tests?", "tests", "test"),
    "unknown key, nothing near": Mistake(
        "budget.zzz", "Allowed are checks, gpu_hours, probes, steps, tests", "steps", "zzz"
    ),
    "unknown key of a scale": Mistake(f"{SMOKE}.setting", "did you mean settings?", new="[scales.smoke.setting]\n"),
    "unknown key of a stage": Mistake(f"{STAGE}.timeout", "did you mean timeout_s?", new="timeout = 60\n"),
    "required key": Mistake("title", "is required", 'title = "A task of one\'s own"\n'),
    "string for a number": Mistake("budget.tests", "must be an integer, not a string", "tests = 3", 'tests = "3"'),
    "true for a number": Mistake("budget.tests", "must be an integer, not true/false", "tests = 3", "tests = true"),
    "number for a string": Mistake("id", "must be a string, not an integer", '"my-task"', "5"),
    "date for a string": Mistake("id", "must be a string, not a date", '"my-task"', "2026-01-01"),
    "array for a table": Mistake("budget", "must be a table, not an array; write [budget]", "[budget]", "[[budget]]"),
    "table for an array": Mistake(
        f"{SMOKE}.stages", "write [[scales.smoke.stages]]", "[[scales.smoke.stages]]", "[scales.smoke.stages]"
    ),
    "array for a scale": Mistake("scales.tiny", "must be a table, not an array", new="[[scales.tiny]]\n"),
    "array for a built-in scale": Mistake("scales.gpt-345m", "must be a table", new="[[scales.gpt-345m]]\n"),
    "array for all scales": Mistake("scales", "must be a table, not an array", "[[scales.smoke.stages]]", "[[scales]]"),
    "number for a truth": Mistake("allow_create", "must be true or false", "[budget]", "allow_create = 1\n[budget]"),
    "unknown growth": Mistake("cost_growth", "must be 'sub-quadratic'", "[budget]", 'cost_growth = "linear"\n[budget]'),
    # limits
    "id": Mistake("id", "1 to 64 of a-z, 0-9 and `-`", "my-task", "My_Task"),
    "long id": Mistake("id", "1 to 64", "my-task", "a" * 65),
    "blank title": Mistake("title", "must not be empty", "A task of one's own", "  "),
    "title of two lines": Mistake("title", "must be one line", "A task", "A\\ntask"),
    "no tests": Mistake("budget.tests", "at least 1", "tests = 3", "tests = 0"),
    "too many tests": Mistake("budget.tests", "at most 1,000", "tests = 3", "tests = 1001"),
    "negative steps": Mistake("budget.steps", "at least 0", "steps = 0", "steps = -1"),
    "negative checks": Mistake("budget.checks", "at least 0", "checks = 10", "checks = -1"),
    "small size cap": Mistake(
        "max_file_bytes", "fewer than the template's own", "[budget]", "max_file_bytes = 99\n[budget]"
    ),
    "override key": Mistake("override_keys[0]", "Python name", "[budget]", "override_keys = ['a b']\n[budget]"),
    "override key twice": Mistake(
        "override_keys", "lr more than once", "[budget]", "override_keys = ['lr', 'lr']\n[budget]"
    ),
    "nothing to override": Mistake("override_keys", "CONFIG_OVERRIDES", "[budget]", "override_keys = ['lr']\n[budget]"),
    # ranges
    "inverted range": Mistake("editable", "[14, 3] is inverted", "[3, 14]", "[14, 3]"),
    "overlapping ranges": Mistake("editable", "[3, 14] and [14, 22] overlap", "[20, 22]", "[14, 22]"),
    "touching ranges": Mistake("editable", "join them to [3, 22]", "[20, 22]", "[15, 22]"),
    "unordered ranges": Mistake("editable", "out of order", "[[3, 14], [20, 22]]", "[[20, 22], [3, 14]]"),
    "range out of the file": Mistake("editable", "out of the file; it has 24 lines", "[20, 22]", "[20, 25]"),
    "line zero": Mistake("editable[0][0]", "at least 1", "[3, 14]", "[0, 14]"),
    "half a range": Mistake("editable[0]", "a pair, [first line, last line], not an array of 1", "[3, 14]", "[3]"),
    "range of three": Mistake("editable[1]", "not an array of 3", "[20, 22]", "[20, 21, 22]"),
    "range of strings": Mistake("editable[0][0]", "must be an integer, not a string", "[3, 14]", "['3', 14]"),
    "flat ranges": Mistake("editable[0]", "must be a pair", "[[3, 14], [20, 22]]", "[3]"),
    "no ranges": Mistake("editable", "at least 1 item", "[[3, 14], [20, 22]]", "[]"),
    # template
    "template missing": Mistake("template", "built-in templates are", '"custom.py"', '"costum.py"'),
    "template above": Mistake("template", "leaves the folder", '"custom.py"', '"../custom.py"'),
    "template absolute": Mistake("template", "is absolute", '"custom.py"', '"/etc/hostname"'),
    "template with a backslash": Mistake("template", "backslash", '"custom.py"', "'src\\custom.py'"),
    "template empty": Mistake("", "is empty", files={"custom.py": " \n"}, file="custom.py"),
    "template not UTF-8": Mistake("line 2", "not UTF-8", files={"custom.py": b"a = 1\nb = '\xff'\n"}, file="custom.py"),
    "template of Windows": Mistake("line 1", "a carriage return", files={"custom.py": "a = 1\r\n"}, file="custom.py"),
    "form feed": Mistake("line 2", "a form feed", files={"custom.py": "a = 1\n\f\n"}, file="custom.py"),
    "line separator": Mistake("line 1", "(U+2028)", files={"custom.py": "a = '\u2028'\n"}, file="custom.py"),
    # filename
    "filename of another kind": Mistake("filename", "must end in `.py`", "pkg/custom.py", "pkg/custom.txt"),
    "filename absolute": Mistake("filename", "is absolute", "pkg/custom.py", "/pkg/custom.py"),
    "filename above": Mistake("filename", "leaves the folder", "pkg/custom.py", "pkg/../custom.py"),
    "filename unclean": Mistake("filename", "clean relative path", "pkg/custom.py", "./custom.py"),
    "filename doubled slash": Mistake("filename", "clean relative path", "pkg/custom.py", "pkg//custom.py"),
    # scales and stages
    "scale name": Mistake("scales.Smoke", "1 to 40 of a-z", "scales.smoke", "scales.Smoke"),
    "scale name with a path": Mistake("scales.../smoke", "1 to 40 of a-z", "scales.smoke", "scales.'../smoke'"),
    "scale without stages": Mistake("scales.tiny.stages", "is required", new="[scales.tiny]\n"),
    "script missing": Mistake(f"{STAGE}.script", "no file gone.sh beside", "scripts/gpt_smoke.sh", "gone.sh"),
    "script above": Mistake(f"{STAGE}.script", "leaves the folder", "scripts/gpt", "../scripts/gpt"),
    "script is the edited file": Mistake(f"{STAGE}.script", "editable file", "scripts/gpt_smoke.sh", "pkg/custom.py"),
    "script of Windows": Mistake(
        "line 1", "carriage return", "scripts/gpt_smoke", "own", {"own.sh": "true\r\n"}, "own.sh"
    ),
    "role": Mistake(f"{STAGE}.role", "must be 'train' or 'evaluate'", new='role = "eval"\n'),
    "evaluation of nothing": Mistake(f"{STAGE}.role", "put a stage with role train before", new='role = "evaluate"\n'),
    "label twice": Mistake(
        f"{SMOKE}.stages[1].label", "labels must differ", new=stage("gpt-smoke", "scripts/gpt_smoke.sh")
    ),
    "label": Mistake(f"{STAGE}.label", "1 to 40 of a-z", "gpt-smoke", "gpt smoke"),
    "no time": Mistake(f"{STAGE}.timeout_s", "at least 1", new="timeout_s = 0\n"),
    "endless time": Mistake(f"{STAGE}.timeout_s", "at most 2,592,000", new="timeout_s = inf\n"),
    "baseline time alone": Mistake(f"{STAGE}.max_slowdown", "required beside baseline_s", new="baseline_s = 5\n"),
    "slowdown alone": Mistake(f"{STAGE}.baseline_s", "required beside max_slowdown", new="max_slowdown = 5\n"),
    "two time limits": Mistake(
        f"{STAGE}.timeout_s", "drop it, or drop the two", new="baseline_s = 5\nmax_slowdown = 2\ntimeout_s = 10\n"
    ),
    "speed-up for a slowdown": Mistake(
        f"{STAGE}.max_slowdown", "at least 1", new="baseline_s = 5\nmax_slowdown = 0.5\n"
    ),
    "endless slowdown": Mistake(
        f"{STAGE}.max_slowdown", "more than 2,592,000 s", new="baseline_s = 2_592_000\nmax_slowdown = 1.1\n"
    ),
    "no parameters": Mistake(f"{SMOKE}.max_parameters", "at least 1", new="[scales.smoke]\nmax_parameters = 0\n"),
    "half parameters": Mistake(
        f"{SMOKE}.max_parameters", "must be an integer, not a float", new="[scales.smoke]\nmax_parameters = 0.5\n"
    ),
    "cap of another shape": Mistake(
        f"{SMOKE}.max_parameters",
        "no cap is known for a scale that trains another model",
        new=SETTINGS + "N_Layer = 3\n",
    ),
    "cap of an own scale": Mistake(
        "scales.own.max_parameters",
        "no cap is known",
        new="[[scales.own.stages]]\nlabel = 'a'\nscript = 'own.sh'\n",
        files={"own.sh": "true\n"},
    ),
    "proxy of nothing": Mistake(f"{SMOKE}.probe", "there is none; drop", new="[scales.smoke]\nprobe = 'tiny'\n"),
    "proxy of itself": Mistake(f"{SMOKE}.probe", "smoke is no other scale", new="[scales.smoke]\nprobe = 'smoke'\n"),
    "proxy by no name": Mistake(f"{SMOKE}.probe", "must be a string", new="[scales.smoke]\nprobe = 1\n"),
    "proxy that is missing": Mistake(
        f"{SMOKE}.probe", "gpt-124m is no other scale", new="[scales.smoke]\nprobe = 'gpt-124m'\n[scales.gpt-345m]\n"
    ),
    "fewer probes than none": Mistake("budget.probes", "at least 0", "tests = 3", "tests = 3\nprobes = -1"),
    "no processes": Mistake(f"{SMOKE}.world_size", "at least 1", new="[scales.smoke]\nworld_size = 0\n"),
    "setting of a run": Mistake(f"{SET}.out_dir", "set for every run", new=SETTINGS + "out_dir = ''\n"),
    "setting twice": Mistake(SET, "same variable", new=SETTINGS + "lr = 1\nLR = 2\n"),
    "setting name": Mistake(f"{SET}.a-b", "not a variable name", new=SETTINGS + "a-b = 1\n"),
    "setting of values": Mistake(f"{SET}.a", "a number or true/false", new=SETTINGS + "a = [1]\n"),
    "setting without end": Mistake(f"{SET}.a", "finite", new=SETTINGS + "a = nan\n"),
    "setting of two lines": Mistake(f"{SET}.a", "one line", new=SETTINGS + "a = '''\n1\n2'''\n"),
    "seed": Mistake(f"{SET}.SEED", "whole number", new=SETTINGS + "seed = 0.5\n"),
    "no scorers": Mistake(f"{SET}.SCORERS", "from 1 to 64, not 0", new=SETTINGS + "scorers = 0\n"),
    "scorers in words": Mistake(f"{SET}.SCORERS", "from 1 to 64, not two", new=SETTINGS + 'scorers = "two"\n'),
    "nothing to score": Mistake(f"{SET}.EVAL_TOKENS", "whole number from 1", new=SETTINGS + "eval_tokens = -1\n"),
    "unknown tokenizer": Mistake(
        f"{SET}.TOKENIZER", "must be bytes or gpt2, not llama", new=SETTINGS + 'tokenizer = "llama"\n'
    ),
    "unknown device": Mistake(f"{SET}.DEVICE", "must be cpu or cuda, not cuda:1", new=SETTINGS + 'device = "cuda:1"\n'),
    "data above": Mistake(f"{SMOKE}.data.DATA_DIR", "leaves", new="[scales.smoke.data]\nDATA_DIR = '../x'\n"),
    "data seen in training": Mistake(
        f"{SMOKE}.evaluation_data.EVAL_DATA_DIR", "in training as well", new="[scales.smoke.data]\nDATA_DIR = 'smoke'\n"
    ),
    "data and setting": Mistake(f"{SET}.DATA_DIR", "data folder", new=SETTINGS + "data_dir = 'x'\n"),
    # baselines
    "baseline of other bytes": Mistake("line 1", "not UTF-8", files={BASELINE: b"\xff"}, file=BASELINE),
    "baseline TOML syntax": Mistake("line 1", "not TOML", files={BASELINE: "x"}, file=BASELINE),
    "baseline without source": Mistake("source", "is required", files={BASELINE: baseline(source="")}, file=BASELINE),
    "baseline source of two lines": Mistake(
        "source", "must be one line", files={BASELINE: baseline(source='source = "a\\nb"\n')}, file=BASELINE
    ),
    "baseline with an unknown key": Mistake(
        "note",
        "Allowed are edits, source, title",
        files={BASELINE: baseline("source = 'a'\nnote = 1\n")},
        file=BASELINE,
    ),
    "baseline without edits": Mistake(
        "edits", "is required", files={BASELINE: "title = 'a'\nsource = 'b'\n"}, file=BASELINE
    ),
    "baseline with one edit table": Mistake(
        "edits", "write [[edits]]", files={BASELINE: baseline().replace("[[edits]]", "[edits]")}, file=BASELINE
    ),
    "edit of no kind": Mistake(
        "edits[0].op", "is required", files={BASELINE: baseline(edit="content = 'x'\n")}, file=BASELINE
    ),
    "edit of another kind": Mistake(
        "edits[0].op",
        "'replace', 'insert' or 'str_replace'",
        files={BASELINE: baseline(edit="op = 'create'\n")},
        file=BASELINE,
    ),
    "edit with an unknown key": Mistake(
        "edits[0].filename", "unknown key", files={BASELINE: baseline() + "filename = 'x'\n"}, file=BASELINE
    ),
    "edit with too little": Mistake(
        "edits[0]",
        "replace takes start_line, end_line, content: start_line, end_line missing",
        files={BASELINE: baseline(edit="op = 'replace'\ncontent = 'x'\n")},
        file=BASELINE,
    ),
    "edit with too much": Mistake(
        "edits[0]",
        "insert takes after_line, content: old_str too many",
        files={BASELINE: baseline() + "old_str = 'x'\n"},
        file=BASELINE,
    ),
    "edit before the first line": Mistake(
        "edits[0].after_line", "at least 0", files={BASELINE: baseline().replace("3", "-1")}, file=BASELINE
    ),
    "baseline name": Mistake("", "1 to 40 of a-z", files={"baselines/My.toml": baseline()}, file="baselines/My.toml"),
    # description
    "description empty": Mistake("", "is empty", files={"description.md": "\n"}, file="description.md"),
    "description not UTF-8": Mistake("line 1", "not UTF-8", files={"description.md": b"\xff"}, file="description.md"),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_mistake_is_told_by_file_and_key(mistake: Mistake, minimal: str, write_task: WriteTask) -> None:
    assert mistake.old in minimal
    toml = minimal.replace(mistake.old, mistake.new) if mistake.old else minimal + mistake.new
    folder = write_task({"task.toml": toml, **mistake.files})
    with pytest.raises(TaskError) as caught:
        load_task(folder)
    assert [(error.file, error.key) for error in (caught.value, *caught.value.further)] == [
        (folder / mistake.file, mistake.key)
    ]
    assert mistake.fragment in caught.value.message
    assert str(caught.value).startswith(str(folder / mistake.file))


def test_all_mistakes_of_a_file_are_told_together(write_task: WriteTask, minimal: str) -> None:
    toml = minimal.replace("my-task", "My Task").replace("tests = 3", "tests = 0").replace("title", "titel")
    with pytest.raises(TaskError) as caught:
        load_task(write_task({"task.toml": toml}))
    lines = str(caught.value).split("\n")
    assert sorted(line.split(": ")[1] for line in lines) == ["budget.tests", "id", "titel", "title"]


def test_folder_without_task_toml(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="no such file") as caught:
        load_task(tmp_path)
    assert caught.value.file == tmp_path / "task.toml"


def test_link_to_a_file_outside_is_refused(write_task: WriteTask, tmp_path: Path) -> None:
    (tmp_path / "outside.py").write_text("x = 1\n" * 30)
    folder = write_task({})
    (folder / "custom.py").unlink()
    (folder / "custom.py").symlink_to(tmp_path / "outside.py")
    with pytest.raises(TaskError, match="outside the task's folder") as caught:
        load_task(folder)
    assert (caught.value.file, caught.value.key) == (folder / "task.toml", "template")


def test_link_inside_the_folder_is_followed(write_task: WriteTask, template: str) -> None:
    folder = write_task({})
    (folder / "custom.py").rename(folder / "real.py")
    (folder / "custom.py").symlink_to("real.py")
    assert load_task(folder).text == template
