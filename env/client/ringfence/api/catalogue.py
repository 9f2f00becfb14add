"""Bodies about tasks, tools and leaderboards, and those of the health calls."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ringfence.api.arguments import Tool
from ringfence.api.base import Body, Lines


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
    gpu_hours: float | None = Field(None, description="Of all GPUs of a test together; null for no limit.")
    probes: int | None = Field(None, description="Left out where no scale has a proxy.")


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
    probe: str | None = Field(None, description="The scale at which probes run, its proxy; left out where none is.")


class MetricAnchor(Body):
    """Its column is `<metric>_<stage>`. Scores: 0 at `floor`, 0.5 at `ref`, 1 at `bound`."""

    metric: str
    stage: str
    better: Literal["lower", "higher"]
    floor: float
    ref: float
    bound: float
    weight: float = Field(description="Among the metrics of its stage; 0 leaves it out.")
    noise: float | None = Field(description="Standard deviation of one test.")
    baselines: dict[str, tuple[float, ...]] = Field(description="What each reached, in the order of the seeds.")


class Provenance(Body):
    date: str
    ringfence: str
    runner: str
    hardware: str
    torch: str


class UneditedHere(Body):
    """What the unedited file reaches on the data of this installation."""

    data: str = Field(description="SHA-256 of what was noted of the training and held-out data.")
    seeds: tuple[int, ...]
    metrics: dict[str, float] = Field(description="The mean over seeds; of perplexities, the geometric one.")


class Anchors(Body):
    """What results of the task at one scale are scored against on the data of this installation."""

    scored: bool
    reason: str | None = Field(description="Why results of this version get no score; null when they do.")
    task_version: str | None = Field(None, description="The version that was measured.")
    seeds: tuple[int, ...] = ()
    provenance: Provenance | None = None
    relative: bool = Field(
        False,
        description="Whether they were measured as differences to the unedited file (perplexities as ratios), on other "
        "data. `metrics` has them in the metrics' own units, as they are here; it is empty until `unedited` is known.",
    )
    unedited: UneditedHere | None = None
    waits: bool = Field(False, description="Whether there will be scores as soon as `unedited` is known.")
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
