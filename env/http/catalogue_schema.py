"""Bodies of the catalogue's and the health calls' answers, for the OpenAPI document."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict

from env.http.schema import Body, Lines, Tool


class TaskBrief(Body):
    id: str
    title: str
    scales: tuple[str, ...]
    filename: str


class Tasks(Body):
    tasks: tuple[TaskBrief, ...]


class TaskBudget(Body):
    tests: int
    steps: int
    checks: int


class StageDetails(Body):
    label: str
    script: str
    role: Literal["train", "evaluate"]
    timeout_s: float


class ScaleDetails(Body):
    summary: str
    world_size: int
    settings: dict[str, str]
    stages: tuple[StageDetails, ...]


class TaskWhole(TaskBrief):
    version: str
    description: str
    editable: tuple[Lines, ...]
    text: str
    budget: TaskBudget
    override_keys: tuple[str, ...]
    scale_details: dict[str, ScaleDetails]


class Tools(Body):
    tools: tuple[Tool, ...]


class Board(Body):
    task_id: str
    rows: int
    sessions: int
    submissions: int
    last: str


class Boards(Body):
    leaderboards: tuple[Board, ...]


class Row(Body):
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


class Leaderboard(Body):
    task_id: str
    columns: tuple[str, ...]
    metric_columns: tuple[str, ...]
    rows: tuple[Row, ...]
    total: int
    limit: int | None
    offset: int


class Alive(Body):
    ok: bool


class Ready(Body):
    ok: bool
    runner: str
    slots: int
    tests: dict[str, int]
    """Tests by status, of all sessions."""
