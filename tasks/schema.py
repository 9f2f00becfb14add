"""The tables of a task.toml: every key, its default and its limits."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tasks.fields import CleanPath, DataFolders, Label, Line, LinePair, OverrideKeys, PythonPath, Settings, TaskId


class Table(BaseModel):
    """Unknown keys and converted types are errors: a task that loads means what it says."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class StageTable(Table):
    label: Label
    script: CleanPath
    role: Literal["train", "evaluate"] = "train"
    timeout_s: float = Field(default=3600.0, ge=1, le=30 * 86400)


class ScaleTable(Table):
    stages: list[StageTable] = Field(min_length=1, max_length=32)
    settings: Settings = {}
    data: DataFolders = {}
    evaluation_data: DataFolders = {}
    world_size: int = Field(default=2, ge=1, le=1024)
    memory_mb: int = Field(default=8192, ge=16, le=1 << 24)
    summary: Annotated[str, Field(max_length=4000)] = ""


class BudgetTable(Table):
    tests: int = Field(default=3, ge=1, le=1000)
    steps: int = Field(default=0, ge=0, le=1_000_000)
    checks: int = Field(default=10, ge=0, le=1_000_000)


class TaskTable(Table):
    id: TaskId
    title: Line
    template: CleanPath
    filename: PythonPath
    editable: list[LinePair] = Field(min_length=1, max_length=100)
    budget: BudgetTable = BudgetTable()
    allow_create: bool = False
    override_keys: OverrideKeys = []
    max_file_bytes: int = Field(default=65536, ge=1, le=1 << 20)
    scales: dict[Label, ScaleTable] = {}


def table_at(path: tuple[Any, ...]) -> type[Table]:
    """The table that holds the key at `path`, e.g. the scale's for `("scales", "smoke", "stages")`."""
    match path:
        case ("budget", _):
            return BudgetTable
        case ("scales", _, "stages", _, _):
            return StageTable
        case ("scales", _, _):
            return ScaleTable
        case _:
            return TaskTable
