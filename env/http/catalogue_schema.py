"""Bodies of the catalogue's and the health calls' answers, for the OpenAPI document."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from env.http.schema import Lines, Tool


class TaskBrief(BaseModel):
    id: str
    title: str
    scales: list[str]
    filename: str


class Tasks(BaseModel):
    tasks: list[TaskBrief]


class TaskBudget(BaseModel):
    tests: int
    steps: int
    checks: int


class StageDetails(BaseModel):
    label: str
    script: str
    role: Literal["train", "evaluate"]
    timeout_s: float


class ScaleDetails(BaseModel):
    summary: str
    world_size: int
    settings: dict[str, str]
    stages: list[StageDetails]


class TaskWhole(TaskBrief):
    version: str
    description: str
    editable: list[Lines]
    text: str
    budget: TaskBudget
    override_keys: list[str]
    scale_details: dict[str, ScaleDetails]


class Tools(BaseModel):
    tools: list[Tool]


class Board(BaseModel):
    task_id: str
    rows: int
    sessions: int
    submissions: int
    last: str


class Boards(BaseModel):
    leaderboards: list[Board]


class Row(BaseModel):
    """Also a number or null for each metric, `<metric>_<label>`, and time in seconds, `elapsed_<label>`."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float | None]

    timestamp: str
    agent: str
    session_id: str
    test: int
    is_final: bool
    status: str
    scale: str
    seed: int | None
    score: float | None
    run_key: str
    parameters: int | None
    template_unmodified: bool
    duplicate_of: str | None
    auto_submitted: bool


class Leaderboard(BaseModel):
    task_id: str
    columns: list[str]
    metric_columns: list[str]
    rows: list[Row]
    total: int
    limit: int | None
    offset: int


class Alive(BaseModel):
    ok: bool


class Ready(BaseModel):
    ok: bool
    runner: str
    slots: int
    tests: dict[str, int]
    """Tests by status, of all sessions."""
