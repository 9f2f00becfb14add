"""Bodies of requests and answers, for validation and for the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictStr

Lines = Annotated[list[int], Field(min_length=2, max_length=2, description="First and last line, 1-based.")]


class OpenSession(BaseModel):
    model_config = ConfigDict(extra="forbid")
    task: StrictStr = Field(description="A task's id, as in GET /v1/tasks.")
    agent: StrictStr = Field(description="Who is acting; shown on the leaderboard.")
    scale: StrictStr | None = Field(None, description="One of the task's scales; the service's default if left out.")
    metadata: dict[str, Any] = Field(default_factory=dict, description="Yours to use; kept with the session.")


class Refused(BaseModel):
    """Every refusal: `observation` begins with `ERROR: ` and says what is allowed."""

    ok: bool
    observation: str
    code: str


class Edited(BaseModel):
    ok: bool
    observation: str
    editable: list[Lines]
    total_lines: int
    revision: int


class CheckResult(BaseModel):
    passed: bool
    checks_remaining: int


class Checked(Edited):
    check: CheckResult


class TestTicket(BaseModel):
    __test__ = False
    n: int
    status: str


class Started(Edited):
    test: TestTicket


class SubmittedTest(BaseModel):
    n: int
    status: str


class Submitted(Edited):
    submission: SubmittedTest


class File(BaseModel):
    filename: str
    text: str
    editable: list[Lines]
    total_lines: int


class Budget(BaseModel):
    tests: int
    tests_remaining: int
    steps: int


class Function(BaseModel):
    name: str
    description: str
    parameters: dict[str, Any]


class Tool(BaseModel):
    """In OpenAI function-calling form."""

    type: Literal["function"]
    function: Function


class Opened(BaseModel):
    session_id: str
    token: str
    task: str
    scale: str | None
    prompt: str
    tools: list[Tool]
    budget: Budget
    files: list[File]


class TestBrief(BaseModel):
    __test__ = False
    n: int
    status: str
    refunded: bool
    created_at: str
    started_at: str | None
    ended_at: str | None


class Point(BaseModel):
    step: int
    train_loss: float | None
    val_loss: float | None


class ProgressView(BaseModel):
    """Self-reported by the training process."""

    stage: str | None
    evaluating: bool
    step: int
    total_steps: int | None
    eta_s: float | None
    series: list[Point]


class StageView(BaseModel):
    label: str
    script: str
    status: str
    reason: str
    elapsed_s: float
    metrics: dict[str, float | None]


class TestView(TestBrief):
    progress: ProgressView
    metrics: dict[str, float | None]
    stages: list[StageView]
    observation: str | None


class SubmissionView(BaseModel):
    n: int
    submitted_at: str


class SessionView(BaseModel):
    session_id: str
    task: str
    agent: str
    scale: str | None
    metadata: dict[str, Any]
    state: str
    created_at: str
    budget: Budget
    steps: int
    revision: int
    files: list[File]
    tests: list[TestBrief]
    submission: SubmissionView | None


class StepView(BaseModel):
    step: int
    tool: str
    input: dict[str, Any]
    ok: bool
    code: str | None
    observation: str
    test: int | None
    at: str


class TrajectoryView(BaseModel):
    session_id: str
    task: str
    task_version: str
    agent: str
    scale: str | None
    steps: list[StepView]
    files: list[File]
    submission: dict[str, Any] | None
