"""Baselines on their way through sessions: their edits, a test, a submission, as agents would make them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from env.service.call import A, Call
from env.service.service import Service
from env.store.model import Status
from ringfence.api.arguments import CancelArguments, EditArguments, SubmitArguments, TestArguments
from ringfence.api.sessions import TestView
from ringfence.api.tools import TurnedDown
from tasks.model import Baseline, Task

TEMPLATE = "template"
"""The name that the unedited file has among the baselines."""
NEWS_S = 1.0
"""At most so long between two reports."""
STOP_S = 20.0
"""For a test that is told to stop because its operator leaves."""


@dataclass(frozen=True)
class BaselineTest:
    """A test of one baseline with one seed, which one session plays."""

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
    """What a baseline's test came to."""

    test: BaselineTest
    status: str
    """The test's status, or `refused`: an edit or the test itself was turned down."""
    metrics: Mapping[tuple[str, str], float | None] = field(default_factory=dict)
    """By metric and stage; None for a value that was not finite."""
    told: str = ""
    """What an agent would have read last."""

    @property
    def succeeded(self) -> bool:
        return self.status == Status.SUCCEEDED.value


class Reporter(Protocol):
    """Is told how the tests of baselines go."""

    def progress(self, test: BaselineTest, seen: TestView) -> None: ...

    def over(self, outcome: BaselineOutcome) -> None: ...


async def play_all(
    service: Service, tests: Sequence[BaselineTest], jobs: int, reporter: Reporter
) -> list[BaselineOutcome]:
    """The outcomes in the order of `tests`, whatever ended first; `jobs` at once. Cancelled, it stops what runs."""
    free = asyncio.Semaphore(jobs)

    async def one(test: BaselineTest) -> BaselineOutcome:
        async with free:
            outcome = await play(service, test, lambda seen: reporter.progress(test, seen))
        reporter.over(outcome)
        return outcome

    async with asyncio.TaskGroup() as group:
        under_way = [group.create_task(one(test)) for test in tests]
    return [task.result() for task in under_way]


async def play(service: Service, test: BaselineTest, report: Callable[[TestView], None]) -> BaselineOutcome:
    """Takes as long as the test. `report` is given the test's view while it runs. Cancelled, it stops the test."""
    session_id, token = service.opening.open_baseline(test.task, test.name, test.scale, test.seed)

    def call(arguments: A) -> Call[A]:
        return Call(bearer=token, session_id=session_id, arguments=arguments)

    for edit in () if test.baseline is None else test.baseline.edits:
        edited = service.tools.edit(call(EditArguments.model_validate(edit)))
        if isinstance(edited, TurnedDown):
            return BaselineOutcome(test, "refused", told=edited.observation)
    started = service.tools.test(call(TestArguments()))
    if isinstance(started, TurnedDown):
        return BaselineOutcome(test, "refused", told=started.observation)
    try:
        while (seen := service.views.test(token, session_id, 1)).ended_at is None:
            report(seen)
            await service.lifecycle.changed(session_id, 1, NEWS_S)
    except asyncio.CancelledError:
        service.cancelling.cancel(Call(bearer=token, session_id=session_id, arguments=CancelArguments(n=1)))
        await service.lifecycle.wait(session_id, 1, STOP_S)
        raise
    if not seen.refunded:
        service.tools.submit(call(SubmitArguments(n=1)))
    metrics = {(name, stage.label): value for stage in seen.stages for name, value in stage.metrics.items()}
    return BaselineOutcome(test, seen.status, metrics, seen.observation or "")


@contextlib.asynccontextmanager
async def running(service: Service) -> AsyncIterator[None]:
    """The service's loops, without its HTTP."""
    loops = [asyncio.create_task(loop.run()) for loop in service.loops]
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
