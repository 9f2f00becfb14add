"""Bodies about tasks, tools and leaderboards, and those of the health calls."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from ringfence.api.arguments import Tool
from ringfence.api.base import Body, DeltaNoise, Lines, Score


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


class MetricAnchor(Body):
    """Its column is `<metric>_<stage>`. Scores: 0 at `floor`, 0.5 at `ref`, 1 at `bound`."""

    metric: str
    stage: str
    better: Literal["lower", "higher"]
    floor: float
    ref: float
    bound: float
    weight: float = Field(description="Among the metrics of its stage; 0 leaves it out.")
    noise: float | None = Field(description="Standard deviation over seeds.")
    baselines: dict[str, tuple[float, ...]] = Field(description="What each reached, in the order of the seeds.")


class Provenance(Body):
    date: str
    ringfence: str
    runner: str
    hardware: str
    torch: str


class Anchors(Body):
    """What results of the task at one scale are scored against."""

    scored: bool
    reason: str | None = Field(description="Why results of this version get no score; null when they do.")
    task_version: str | None = Field(None, description="The version that was measured.")
    seeds: tuple[int, ...] = ()
    provenance: Provenance | None = None
    metrics: tuple[MetricAnchor, ...] = ()


class BaselineDetails(Body):
    """A known method: the edits that make the task's file its own, applied one after another."""

    name: str
    title: str
    source: str
    edits: tuple[dict[str, str | int], ...] = Field(description="Arguments of the edit tool.")


class TaskWhole(TaskBrief):
    version: str
    description: str
    editable: tuple[Lines, ...]
    text: str
    budget: TaskBudget
    override_keys: tuple[str, ...]
    scale_details: dict[str, ScaleDetails]
    anchors: dict[str, Anchors]
    baselines: tuple[BaselineDetails, ...] = ()


class TaskPrompt(Body):
    """What an agent is told whose session is opened on the task at this scale."""

    task: str
    scale: str | None
    prompt: str


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
    score: Score
    delta_noise: DeltaNoise
    run_key: str
    parameters: int | None
    template_unmodified: bool
    duplicate_of: str | None
    auto_submitted: bool
    compute: float | None
    certified: float | None
    certified_error: float | None


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
    """Tests by status, of all sessions; empty while the database does not answer."""
    problems: tuple[str, ...] = ()
    """Why it is not ready, in words."""
