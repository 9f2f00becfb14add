"""The tables of a task.toml and of a baseline's file: every key, its default and its limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tasks.fields import CleanPath, DataFolders, Label, Line, LinePair, OverrideKeys, PythonPath, Settings, TaskId
from tasks.model import MAX_TESTS, SessionBudget

LONGEST_S = 30 * 86400.0
"""The longest a stage may take."""


class TomlTable(BaseModel):
    """Unknown keys and converted types are errors: a task that loads means what it says."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class StageTable(TomlTable):
    label: Label
    script: CleanPath
    role: Literal["train", "evaluate"] = "train"
    timeout_s: float | None = Field(default=None, ge=1, le=LONGEST_S)
    baseline_s: float | None = Field(default=None, ge=1, le=LONGEST_S)
    max_slowdown: float | None = Field(default=None, ge=1, le=1000)


class ScaleTable(TomlTable):
    stages: list[StageTable] = Field(min_length=1, max_length=32)
    settings: Settings = {}
    data: DataFolders = {}
    evaluation_data: DataFolders = {}
    world_size: int = Field(default=2, ge=1, le=1024)
    memory_mb: int = Field(default=8192, ge=16, le=1 << 24)
    max_parameters: int | None = Field(default=None, ge=1, le=1 << 48)
    summary: Annotated[str, Field(max_length=4000)] = ""
    probe: Label | None = None


class BudgetTable(TomlTable):
    tests: int | None = Field(default=None, ge=1, le=MAX_TESTS)
    """3 by default; MAX_TESTS where there are `gpu_hours`."""
    steps: int = Field(default=0, ge=0, le=1_000_000)
    checks: int = Field(default=10, ge=0, le=1_000_000)
    probes: int = Field(default=6, ge=0, le=1000)
    gpu_hours: float | None = Field(default=None, gt=0, le=1_000_000, allow_inf_nan=False)

    @property
    def whole(self) -> SessionBudget:
        """With the number of tests that goes without saying."""
        tests = self.tests
        if tests is None:
            tests = SessionBudget().tests if self.gpu_hours is None else MAX_TESTS
        return SessionBudget(tests, self.steps, self.checks, self.probes, self.gpu_hours)


class TaskTable(TomlTable):
    id: TaskId
    title: Line
    template: CleanPath
    filename: PythonPath
    editable: list[LinePair] = Field(min_length=1, max_length=100)
    budget: BudgetTable = BudgetTable()
    allow_create: bool = False
    override_keys: OverrideKeys = []
    max_file_bytes: int = Field(default=65536, ge=1, le=1 << 20)
    cost_growth: Literal["sub-quadratic"] | None = None
    scales: dict[Label, ScaleTable] = {}


EDIT_KEYS: Mapping[str, tuple[str, ...]] = {
    "replace": ("start_line", "end_line", "content"),
    "insert": ("after_line", "content"),
    "str_replace": ("old_str", "new_str"),
}
"""What edits in a baseline's file take: the same as those of agents."""


class EditTable(TomlTable):
    op: Literal["replace", "insert", "str_replace"]
    start_line: int | None = Field(default=None, ge=1, le=1_000_000)
    end_line: int | None = Field(default=None, ge=1, le=1_000_000)
    after_line: int | None = Field(default=None, ge=0, le=1_000_000)
    content: str | None = None
    old_str: str | None = None
    new_str: str | None = None

    @model_validator(mode="after")
    def _has_what_its_op_takes(self) -> EditTable:
        wanted = EDIT_KEYS[self.op]
        missing = [key for key in wanted if getattr(self, key) is None]
        stray = sorted(self.model_fields_set - {"op", *wanted})
        if missing or stray:
            wrong = [f"{', '.join(missing)} missing"] * bool(missing) + [f"{', '.join(stray)} too many"] * bool(stray)
            raise ValueError(f"{self.op} takes {', '.join(wanted)}: {'; '.join(wrong)}")
        return self


class BaselineTable(TomlTable):
    title: Line
    source: Line
    edits: list[EditTable] = Field(max_length=100)  # none for the unedited file itself


def table_at(root: type[TomlTable], path: tuple[Any, ...]) -> type[TomlTable]:
    """The table that holds the key at `path` below `root`, e.g. the scale's for `("scales", "smoke", "stages")`."""
    found = root
    kind: Any = root
    for part in path[:-1]:
        if isinstance(kind, type) and issubclass(kind, TomlTable):
            kind = getattr(kind.model_fields.get(part), "annotation", None)
        else:
            kind = (get_args(kind) or (None,))[-1]  # what an array or a table of any keys holds
        while get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        if isinstance(kind, type) and issubclass(kind, TomlTable):
            found = kind
    return found
