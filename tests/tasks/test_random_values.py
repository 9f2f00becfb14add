"""Whatever value stands at whatever key: the folder loads, or the answer is a TaskError."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import TaskError
from tasks.load import load_task

TOP = (
    "id",
    "title",
    "template",
    "filename",
    "editable",
    "allow_create",
    "override_keys",
    "max_file_bytes",
    "cost_growth",
)
TABLES = {
    "": (*TOP, "budget", "scales"),
    "budget": ("tests", "steps", "checks"),
    "scales": ("smoke", "gpt-345m", "own"),
    "scales.smoke": (
        "summary",
        "world_size",
        "memory_mb",
        "max_parameters",
        "settings",
        "data",
        "evaluation_data",
        "stages",
    ),
    "scales.smoke.settings": ("seed", "MAX_ITERS", "new"),
    "scales.smoke.data": ("DATA_DIR",),
    "scales.smoke.evaluation_data": ("EVAL_DATA_DIR",),
    "stage": ("label", "script", "role", "timeout_s", "baseline_s", "max_slowdown"),
}
START = {
    "id": '"my-task"',
    "title": '"T"',
    "template": '"custom.py"',
    "filename": '"a.py"',
    "editable": "[[3, 4]]",
    "label": '"one"',
    "script": '"scripts/gpt_smoke.sh"',
}

texts = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["custom.py", "embedding", "scripts/gpt_smoke.sh", "evaluate", "..", "a/../b.py", "/etc", ".", ""]),
)
scalars = st.one_of(
    texts.map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.integers().map(str),
    st.integers(min_value=0).map(hex),
    st.just("0x" + "f" * 6000),
    st.floats().map(repr),
    st.booleans().map(lambda value: str(value).lower()),
    st.dates().map(str),
    st.times().map(str),
)
keys = st.text(alphabet="abAB_-01", min_size=1, max_size=5)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(keys, inner, max_size=3).map(
            lambda items: f"{{{', '.join(f'{key} = {value}' for key, value in items.items())}}}"
        ),
    ),
    max_leaves=6,
)
places = st.sampled_from([(table, key) for table, names in TABLES.items() for key in names])


def _toml(table: str, key: str, value: str) -> str:
    """The start values with `value` at `key` of `table`, and no other table than the one it needs."""
    lines = [f"{name} = {START[name]}" for name in TOP if name in START and (table, key) != ("", name)]
    if table == "stage":
        stage = [f"{name} = {START[name]}" for name in ("label", "script") if name != key]
        return "\n".join([*lines, "[[scales.smoke.stages]]", *stage, f"{key} = {value}\n"])
    return "\n".join([*lines, *([f"[{table}]"] if table else []), f"{key} = {value}\n"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("random")
    (path / "custom.py").write_text("x = 1\n" * 9)
    return path


@settings(max_examples=150, deadline=None)
@given(place=places, value=values)
def test_any_value_loads_or_is_told(folder: Path, place: tuple[str, str], value: str):
    (folder / "task.toml").write_bytes(_toml(*place, value).encode())
    try:
        told = load_task(folder).to_json()
    except TaskError as error:
        told = str(error)
    assert told.startswith((str(folder), "{"))


BASELINE = {"title": '"T"', "source": '"S"'}
EDIT = {"op": '"replace"', "start_line": "3", "end_line": "4", "content": '"x"'}


@settings(max_examples=100, deadline=None)
@given(key=st.sampled_from([*BASELINE, *EDIT, "after_line", "old_str"]), value=values)
def test_any_value_in_a_baseline_loads_or_is_told(folder: Path, key: str, value: str):
    (folder / "task.toml").write_text(_toml("stage", "role", '"train"'))
    (folder / "baselines").mkdir(exist_ok=True)
    file = folder / "baselines" / "one.toml"
    top, edit = ({**BASELINE, key: value}, EDIT) if key in BASELINE else (BASELINE, {**EDIT, key: value})
    lines = [f"{name} = {given}" for table in (top, edit) for name, given in table.items()]
    lines.insert(len(top), "[[edits]]")
    try:
        file.write_bytes("\n".join(lines).encode())
        told = load_task(folder).to_json()
    except TaskError as error:
        told = str(error)
    finally:
        file.unlink()
    assert told.startswith((str(file), "{"))


def test_the_start_values_load(folder: Path):
    (folder / "task.toml").write_text(_toml("stage", "role", '"train"'))
    assert load_task(folder).scales["smoke"].stages[0].role == "train"
