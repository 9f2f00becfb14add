"""Loading task folders: every mistake in one ends in a TaskError that names the file and the key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.anchors import ScaleAnchors, load_anchors
from tasks.baselines import load_baselines
from tasks.errors import TaskError
from tasks.model import Task
from tasks.parse import check_tables, parse_toml
from tasks.ranges import range_problems
from tasks.scales import build_scale, check_proxies, on_builtin_scales
from tasks.schema import TaskTable
from tasks.source import read_source, with_plain_lines
from templates.render import names, render

_BUILTIN_TASKS = Path(__file__).parent


@dataclass(frozen=True)
class Found:
    """A task with what lies beside it."""

    task: Task
    folder: Path
    anchors: Mapping[str, ScaleAnchors]
    """The anchors by scale, of whatever version of the task they were measured for."""


def load_task(folder: Path) -> Task:
    """The task in `folder`, complete and checked. Raises TaskError."""
    file = folder / "task.toml"
    source = read_source(folder, file.name, blame=(file, ""))
    if source is None:
        raise TaskError(file, "", "no such file; a task is a folder with a task.toml in it")
    table = check_tables(file, on_builtin_scales(parse_toml(source)), TaskTable)
    text = _template(file, table.template)
    _check_against_text(file, table, text)
    scales = {name: build_scale(file, name, scale, table.filename) for name, scale in table.scales.items()}
    check_proxies(file, scales)
    return Task(
        id=table.id,
        title=table.title,
        description=_description(file, table.title),
        filename=table.filename,
        text=text,
        editable=tuple((first, last) for first, last in table.editable),
        scales=scales,
        budget=table.budget.whole,
        allow_create=table.allow_create,
        override_keys=tuple(table.override_keys),
        max_file_bytes=table.max_file_bytes,
        baselines=load_baselines(folder),
        cost_growth=table.cost_growth,
    )


def load_tasks(folders: Sequence[Path] = ()) -> dict[str, Task]:
    """The tasks that `find_tasks` finds, by id. Raises TaskError."""
    return {task_id: found.task for task_id, found in find_tasks(folders).items()}


def find_tasks(folders: Sequence[Path] = ()) -> dict[str, Found]:
    """The built-in tasks and those of `folders`, each a task folder or a folder of task folders, by id.

    Raises TaskError, with the mistakes of all folders together.
    """
    builtin = [folder for folder in sorted(_BUILTIN_TASKS.glob("llm-pretrain-*")) if folder.is_dir()]
    tasks: dict[str, Found] = {}
    errors: list[TaskError] = []
    seen: set[Path] = set()
    for folder in [*builtin, *(task_folder for given in folders for task_folder in _task_folders(given))]:
        if folder.resolve() in seen:  # the same folder given twice is no contradiction
            continue
        seen.add(folder.resolve())
        try:
            found = Found(load_task(folder), folder, load_anchors(folder))
        except TaskError as error:
            errors.append(error)
            continue
        task_id = found.task.id
        if task_id in tasks:
            message = f"{task_id} is the id of the task in {tasks[task_id].folder} too; give one of them another id"
            errors.append(TaskError(folder / "task.toml", "id", message))
            continue
        tasks[task_id] = found
    if errors:
        raise TaskError.together(errors)
    return tasks


def _task_folders(given: Path) -> list[Path]:
    try:
        if (given / "task.toml").exists():
            return [given]
        if not given.is_dir():
            raise TaskError(given, "", "no such folder; give a task folder or a folder of task folders")
    except OSError as error:
        raise TaskError(given, "", f"cannot be read: {error.strerror}") from error
    found = sorted(path.parent for path in given.glob("*/task.toml"))
    if not found:
        raise TaskError(given, "", "no task.toml here or one folder below; a task is a folder with a task.toml in it")
    return found


def _template(file: Path, name: str) -> str:
    source = read_source(file.parent, name, blame=(file, "template"))
    if source is not None:
        return with_plain_lines(source)
    if name not in names():
        known = ", ".join(sorted(names()))
        raise TaskError(file, "template", f"no file {name} beside task.toml; built-in templates are {known}")
    return render(name)


def _check_against_text(file: Path, table: TaskTable, text: str) -> None:
    lines = text.split("\n")[:-1]
    errors = [TaskError(file, "editable", problem) for problem in range_problems(table.editable, len(lines))]
    size = len(text.encode())
    if size > table.max_file_bytes:
        message = f"{table.max_file_bytes} bytes are fewer than the template's own {size}"
        errors.append(TaskError(file, "max_file_bytes", message))
    editable_lines = (line for first, last in table.editable for line in lines[first - 1 : last])
    if table.override_keys and not any("CONFIG_OVERRIDES" in line for line in editable_lines):
        message = "no editable line holds CONFIG_OVERRIDES; drop the keys or make that line editable"
        errors.append(TaskError(file, "override_keys", message))
    if errors:
        raise TaskError.together(errors)


def _description(file: Path, title: str) -> str:
    source = read_source(file.parent, "description.md", blame=(file, ""))
    if source is None:
        return title
    text = source.text.replace("\r\n", "\n").strip()
    if not text:
        raise TaskError(source.path, "", "is empty; describe the task, or remove the file to show the title instead")
    return text + "\n"
