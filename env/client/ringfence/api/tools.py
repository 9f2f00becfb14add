"""Bodies of the answers to tool calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from ringfence.api.base import Body, Lines
from ringfence.api.catalogue import TaskBrief
from ringfence.api.comparisons import ComparisonView
from ringfence.api.refusal import Kind, Refused
from ringfence.api.sessions import Budget, TestView


class Edited(Body):
    ok: bool
    observation: str
    editable: tuple[Lines, ...]
    total_lines: int
    revision: int


class CheckResult(Body):
    passed: bool
    checks_remaining: int


class CheckUnderWay(Body):
    status: Literal["running"]
    checks_remaining: int = Field(description="How many checks may still be had, this one included.")


class Checked(Edited):
    check: CheckResult | CheckUnderWay = Field(description="`status` while it is under way, `passed` once it is over.")


class LastCheck(Body):
    """How the last check of a session stands."""

    ok: bool = Field(description="False where the check was turned down, or could not be run.")
    observation: str
    code: str | None = Field(description="Why it was turned down; null where it was not.")
    check: CheckResult | CheckUnderWay | None = Field(description="Null where it was turned down.")


class TestTicket(Body):
    __test__ = False
    n: int
    status: str


class QueuedTest(TestTicket):
    tests_remaining: int = Field(description="How many tests may still be spent after this one.")


class Started(Edited):
    test: QueuedTest | TestView = Field(description="The whole view of the test once a call has waited for it.")


class QueuedProbe(TestTicket):
    probes_remaining: int = Field(description="How many probes may still be spent after this one.")


class Probed(Edited):
    probe: QueuedProbe | TestView = Field(description="The whole view of the probe once a call has waited for it.")


class SubmittedTest(Body):
    n: int
    status: str
    comparison: ComparisonView | None = Field(
        None, description="Its code beside the best baseline at this moment; null where there is nothing to compare."
    )
    confirmed_at: tuple[int, ...] = Field((), description="The seeds that the service runs it again at, at no cost.")


class Submitted(Edited):
    submission: SubmittedTest


ANSWERS: Mapping[str, type[Edited]] = {
    "edit": Edited,
    "view": Edited,
    "undo": Edited,
    "check": Checked,
    "probe": Probed,
    "test": Started,
    "submit": Submitted,
}
"""By tool, the answer to a call that was not turned down."""


class TurnedDown(Refused):
    """The refusal of a tool call that counts as a step of its session, with the state of the file."""

    editable: tuple[Lines, ...]
    total_lines: int
    revision: int
    kind: Kind = Field(exclude=True)
    """For the transport's status; no part of the body."""


class TaskList(Body):
    """Over MCP: the tasks that there are."""

    ok: bool
    observation: str
    tasks: tuple[TaskBrief, ...]


class SessionOpened(Body):
    """Over MCP: a new session. The observation holds the prompt."""

    ok: bool
    observation: str
    session_id: str
    token: str
    task: str
    scale: str | None
    budget: Budget


class LastTest(Body):
    """Over MCP: how the last test or probe of a session stands."""

    ok: bool
    observation: str
    test: TestView
