"""Bodies about sessions: how one is opened, and what can be read of it and of its tests."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from env.api.arguments import OpenArguments, Tool
from env.api.base import Body, Lines


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
