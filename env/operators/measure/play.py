"""One baseline on its way through a session: its edits, a test, a submission, as an agent would make them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from env.api.arguments import EditArguments, SubmitArguments, TestArguments
from env.service.service import Service
from env.store.model import Status
from tasks.model import Baseline, Task

TEMPLATE = "template"
"""The name that the unedited file has among the baselines."""
NEWS_S = 1.0
"""At most so long between two reports."""
STOP_S = 20.0
"""For a test that is told to stop because its operator leaves."""


@dataclass(frozen=True)
class BaselineTest:
    """What one session plays."""

    task: Task
    baseline: Baseline | None
    """None for the unedited file."""
    scale: str
    seed: int

    @property
    def name(self) -> str:
        return TEMPLATE if self.baseline is None else self.baseline.name


@dataclass(frozen=True)
class BaselineOutcome:
    part: BaselineTest
    status: str
    """A test's, or `refused`: an edit or the test itself was turned down."""
    metrics: Mapping[tuple[str, str], float | None] = field(default_factory=dict)
    """By metric and stage."""
    told: str = ""
    """What an agent would have read last."""

    @property
    def succeeded(self) -> bool:
        return self.status == Status.SUCCEEDED.value


async def play(service: Service, part: BaselineTest, report: Callable[[Mapping[str, Any]], None]) -> BaselineOutcome:
    """Takes as long as the test. `report` is given the test's view while it runs. Cancelled, it stops the test."""
    session_id, token = service.opening.open_baseline(part.task, part.name, part.scale, part.seed)
    edits = () if part.baseline is None else part.baseline.edits
    for edit in edits:
        answer = service.tools.edit(token, session_id, EditArguments.model_validate(edit), None)
        if answer.kind is not None:
            return BaselineOutcome(part, "refused", told=str(answer.body["observation"]))
    answer = service.tools.test(token, session_id, TestArguments(), None)
    if answer.kind is not None:
        return BaselineOutcome(part, "refused", told=str(answer.body["observation"]))
    try:
        while (seen := service.views.test(token, session_id, 1))["ended_at"] is None:
            report(seen)
            await service.lifecycle.changed(session_id, 1, NEWS_S)
    except asyncio.CancelledError:
        service.tools.cancel(token, session_id, 1)
        await service.lifecycle.wait(session_id, 1, STOP_S)
        raise
    if not seen["refunded"]:
        service.tools.submit(token, session_id, SubmitArguments(n=1), None)
    metrics = {(name, stage["label"]): value for stage in seen["stages"] for name, value in stage["metrics"].items()}
    return BaselineOutcome(part, seen["status"], metrics, seen["observation"])


@contextlib.asynccontextmanager
async def running(service: Service) -> AsyncIterator[None]:
    """The service's loops, without its HTTP."""
    loops = [asyncio.create_task(loop.run()) for loop in (service.lifecycle, service.checkpoints)]
    await service.lifecycle.tidied()
    try:
        yield
    finally:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(service.lifecycle.settled(), STOP_S)
        for loop in loops:
            loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await loop
