"""Bodies of requests and answers, for validation and for the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from env.api.arguments import OpenArguments

Lines = Annotated[tuple[int, ...], Field(min_length=2, max_length=2, description="First and last line, 1-based.")]
Score = Annotated[
    float | None,
    Field(
        description="Against the task's anchors: 0 the worst baseline, 0.5 the best one, 1 the bound. Null where the "
        "task version has none at this scale, or the result lacks a metric."
    ),
]
DeltaNoise = Annotated[
    float | None,
    Field(
        description="How much better than the best baseline, by the metric that results are ranked by and in standard "
        "deviations over seeds; negative when worse. Null where no seeds repeat."
    ),
]


class Body(BaseModel):
    """Of an answer, as a value: the client gives it to its user."""

    model_config = ConfigDict(frozen=True)


class OpenSession(OpenArguments):
    metadata: dict[str, Any] = Field(default_factory=dict, description="Yours to use; kept with the session.")


class Refused(Body):
    """Every refusal: `observation` begins with `ERROR: ` and says what is allowed."""

    ok: bool
    observation: str
    code: str


class Edited(Body):
    ok: bool
    observation: str
    editable: tuple[Lines, ...]
    total_lines: int
    revision: int


class CheckResult(Body):
    passed: bool
    checks_remaining: int


class Checked(Edited):
    check: CheckResult


class TestTicket(Body):
    __test__ = False
    n: int
    status: str


class Started(Edited):
    test: TestTicket


class SubmittedTest(Body):
    n: int
    status: str


class Submitted(Edited):
    submission: SubmittedTest


class File(Body):
    filename: str
    text: str
    editable: tuple[Lines, ...]
    total_lines: int


class Budget(Body):
    tests: int
    tests_remaining: int
    steps: int


class Function(Body):
    name: str
    description: str
    parameters: dict[str, Any]


class Tool(Body):
    """In OpenAI function-calling form."""

    type: Literal["function"]
    function: Function


class Opened(Body):
    session_id: str
    token: str
    task: str
    scale: str | None
    prompt: str
    tools: tuple[Tool, ...]
    budget: Budget
    files: tuple[File, ...]


class TestBrief(Body):
    __test__ = False
    n: int
    status: str
    refunded: bool
    created_at: str
    started_at: str | None
    ended_at: str | None


class Point(Body):
    step: int
    train_loss: float | None
    val_loss: float | None


class ProgressView(Body):
    """Self-reported by the training process."""

    stage: str | None
    evaluating: bool
    step: int
    total_steps: int | None
    eta_s: float | None
    series: tuple[Point, ...]


class StageView(Body):
    label: str
    script: str
    status: str
    reason: str
    elapsed_s: float
    metrics: dict[str, float | None]


class TestView(TestBrief):
    progress: ProgressView
    metrics: dict[str, float | None]
    stages: tuple[StageView, ...]
    observation: str | None


class SubmissionView(Body):
    n: int
    submitted_at: str
    auto_submitted: bool = Field(False, description="Submitted for the session, not by it.")


class ClosedView(Body):
    """A session that the service ended, because its agent did not."""

    at: str
    reason: str


class SessionView(Body):
    session_id: str
    task: str
    agent: str
    scale: str | None
    metadata: dict[str, Any]
    state: str = Field(description="open, submitted, or closed: ended by the service with nothing to submit.")
    created_at: str
    budget: Budget
    steps: int
    revision: int
    files: tuple[File, ...]
    tests: tuple[TestBrief, ...]
    submission: SubmissionView | None
    closed: ClosedView | None = None


class StepView(Body):
    step: int
    tool: str
    input: dict[str, Any]
    ok: bool
    code: str | None
    observation: str
    test: int | None
    at: str


class TrajectoryView(Body):
    session_id: str
    task: str
    task_version: str
    agent: str
    scale: str | None
    steps: tuple[StepView, ...]
    files: tuple[File, ...]
    submission: dict[str, Any] | None
