"""One baseline on its way through a session: its edits, a test, a submission, as an agent would make them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from env.arguments import EditArguments, SubmitArguments, TestArguments
from env.house import House
from env.session import Status
from tasks.anchoring import TEMPLATE
from tasks.model import Baseline, Task

NEWS_S = 1.0
"""At most so long between two reports."""
STOP_S = 20.0
"""For a test that is told to stop because its operator leaves."""


@dataclass(frozen=True)
class Part:
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
class Played:
    part: Part
    status: str
    """A test's, or `refused`: an edit or the test itself was turned down."""
    metrics: Mapping[tuple[str, str], float | None] = field(default_factory=dict)
    """By metric and stage."""
    told: str = ""
    """What an agent would have read last."""

    @property
    def succeeded(self) -> bool:
        return self.status == Status.SUCCEEDED.value


async def play(house: House, part: Part, report: Callable[[Mapping[str, Any]], None]) -> Played:
    """Takes as long as the test. `report` is given the test's view while it runs. Cancelled, it stops the test."""
    session_id, token = house.opening.open_baseline(part.task, part.name, part.scale, part.seed)
    edits = () if part.baseline is None else part.baseline.edits
    for edit in edits:
        answer = house.tools.edit(token, session_id, EditArguments.model_validate(edit), None)
        if answer.kind is not None:
            return Played(part, "refused", told=str(answer.body["observation"]))
    answer = house.tools.test(token, session_id, TestArguments(), None)
    if answer.kind is not None:
        return Played(part, "refused", told=str(answer.body["observation"]))
    try:
        while (seen := house.views.test(token, session_id, 1))["ended_at"] is None:
            report(seen)
            await house.lifecycle.changed(session_id, 1, NEWS_S)
    except asyncio.CancelledError:
        house.tools.cancel(token, session_id, 1)
        await house.lifecycle.wait(session_id, 1, STOP_S)
        raise
    if not seen["refunded"]:
        house.tools.submit(token, session_id, SubmitArguments(n=1), None)
    metrics = {(name, stage["label"]): value for stage in seen["stages"] for name, value in stage["metrics"].items()}
    return Played(part, seen["status"], metrics, seen["observation"])


@contextlib.asynccontextmanager
async def running(house: House) -> AsyncIterator[None]:
    """The service's loops, without its HTTP."""
    loops = [asyncio.create_task(loop.run()) for loop in (house.lifecycle, house.checkpoints)]
    await house.lifecycle.tidied()
    try:
        yield
    finally:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(house.lifecycle.settled(), STOP_S)
        for loop in loops:
            loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await loop
