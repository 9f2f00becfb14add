"""A session as its page tells it: plain values, whoever gathers them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

STEPS_PER_PAGE = 25


@dataclass(frozen=True)
class Change:
    """Of one file."""

    filename: str
    before: str
    after: str


@dataclass(frozen=True)
class StepStory:
    number: int
    tool: str
    input: Mapping[str, Any]
    ok: bool
    observation: str
    at: str
    """ISO 8601, UTC."""
    test: int | None = None
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class TestStory:
    n: int
    run_key: str
    status: str
    refunded: bool
    started_at: str | None
    ended_at: str | None
    stages: Sequence[Mapping[str, Any]]
    """As the API tells them: `label`, `script`, `status`, `reason`, `elapsed_s`, `metrics`."""
    changes: tuple[Change, ...]
    """The code under test against the task's original."""
    curve: bool = False
    """It reported losses while it trained."""
    record: Mapping[str, Any] | None = None
    """Of its leaderboard row; None when it has none."""
    labels: tuple[str, ...] = ()
    stage: str | None = None
    step: int = 0
    total_steps: int | None = None
    eta_s: float | None = None

    __test__ = False  # not a test case, whatever pytest makes of the name


@dataclass(frozen=True)
class SessionStory:
    session_id: str
    task: str
    title: str
    agent: str
    scale: str | None
    metadata: Mapping[str, Any]
    state: str
    """`open`, `submitted`, or `closed`: by the service, with nothing to submit."""
    created_at: str
    submitted: int | None
    """The number of the test that was submitted."""
    submitted_at: str | None
    budget: Mapping[str, int]
    prompt: str
    tests: Sequence[TestStory]
    steps: Sequence[StepStory]
    """Those of this page."""
    total_steps: int
    page: int

    @property
    def pages(self) -> int:
        return max(1, -(-self.total_steps // STEPS_PER_PAGE))
