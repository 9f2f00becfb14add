"""Bodies about sessions: how one is opened, and what can be read of it and of its tests."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from ringfence.api.arguments import OpenArguments, Tool
from ringfence.api.base import Body, Lines
from ringfence.api.comparisons import ComparisonView

Seed = Annotated[int, Field(ge=0, lt=1 << 63)]


class OpenSession(OpenArguments):
    metadata: dict[str, Any] = Field(
        default_factory=dict,
        description="Yours to use; kept with the session, and public with its record once it is submitted.",
    )


class File(Body):
    filename: str
    text: str
    editable: tuple[Lines, ...]
    total_lines: int


class Budget(Body):
    tests: int
    tests_remaining: int
    steps: int
    gpu_hours: float | None = Field(None, description="Of all GPUs of a test together; null for no limit.")
    gpu_hours_used: float | None = Field(None, description="By the tests that are over; null where there is no limit.")
    probes: int | None = Field(None, description="Left out where the session's scale has no proxy: no probes there.")
    probes_remaining: int | None = None


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
    n: int = Field(description="Tests and probes of a session are each numbered from 1.")
    kind: Literal["test", "probe"] = Field("test", description="Left out for a test.")
    scale: str | None = Field(None, description="Of a probe: the proxy of the session's scale. Left out for a test.")
    status: str
    refunded: bool
    created_at: str
    started_at: str | None
    ended_at: str | None
    runner: str | None = Field(
        None, description="`docker`, `local` or `fake`; null before the start, and where it was not recorded."
    )
    mark: str = Field("", description="What has to be said beside its numbers; empty for those from sandboxes.")


class Point(Body):
    step: int
    train_loss: float | None
    val_loss: float | None


class QueuePlace(Body):
    """How a run waits for its turn on a cluster."""

    place: int = Field(description="Among this service's waiting runs, from 1.")
    reason: str = Field(description="The cluster's own word: Resources, Priority …")
    expected_start: str | None = Field(description="When the cluster expects to start it, in the cluster's time.")


class ProgressView(Body):
    """Self-reported by the training process."""

    stage: str | None
    evaluating: bool
    attempt: int = Field(description="Of the run under way, from 1: it is tried again when memory or a host fails it.")
    step: int
    total_steps: int | None
    eta_s: float | None
    series: tuple[Point, ...]
    queue: QueuePlace | None = Field(None, description="Of a run that waits on a cluster; null for any other.")


class AttemptStarted(Body):
    """In the stream of a test's events: a run is tried again, and points of the attempt before are void."""

    attempt: int
    stage: str | None
    points: int = Field(description="How many points still stand, counted from the test's first.")


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
    ahead: int | None = Field(None, description="How many tests wait before it; null where it does not wait itself.")


class SubmissionView(Body):
    n: int
    submitted_at: str
    auto_submitted: bool = Field(False, description="Submitted for the session, not by it.")


class ConfirmationView(Body):
    """A submitted test's code at another seed, in a session of its own."""

    session_id: str
    seed: int
    status: str = Field(description="Of that session's test #1.")


class ConfirmSession(Body):
    seeds: tuple[Seed, ...] = Field(min_length=1, max_length=100, description="To run the submission again at.")
    yes: bool = Field(False, description="Also at a scale that takes GPUs.")


class Confirmations(Body):
    run_key: str = Field(description="Of the result that is confirmed.")
    confirmations: tuple[ConfirmationView, ...]


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
    probes: tuple[TestBrief, ...] = Field((), description="Left out where the session's scale has no proxy.")
    submission: SubmissionView | None
    closed: ClosedView | None = None
    confirms: str | None = Field(
        None, description="Run key of the submitted test that this session runs again at another seed, for no agent."
    )
    confirmations: tuple[ConfirmationView, ...] = Field((), description="Of what it submitted, at further seeds.")
    comparison: ComparisonView | None = Field(
        None, description="What it submitted beside the best baseline; null where there is nothing to compare."
    )


class StepView(Body):
    step: int
    tool: str
    input: dict[str, Any]
    ok: bool
    code: str | None
    observation: str
    test: int | None
    at: str
    probe: int | None = Field(None, description="Number of the probe that the step started or stopped; else left out.")


class TrajectoryView(Body):
    session_id: str
    task: str
    task_version: str
    agent: str
    scale: str | None
    steps: tuple[StepView, ...]
    files: tuple[File, ...]
    submission: dict[str, Any] | None
