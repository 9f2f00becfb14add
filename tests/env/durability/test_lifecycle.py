"""The loop goes on when its runner is in trouble, and picks up what ran before it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from env.service.call import Call
from env.service.opening import Wanted
from env.service.service import Service, build
from env.service.settings import ServiceSettings
from env.store.model import Status
from ringfence.api.arguments import TestArguments as NoArguments
from runner.fake.runner import FakeRunner
from runner.pool import Host, Pool
from runner.protocol import RunnerError, RunSpec, RunState
from tasks.load import load_tasks
from tests.support.service import TASK

if TYPE_CHECKING:
    from tests.env.durability.conftest import TaskFolder
    from tests.support.service import Server

SLEEP = "sleep 60 & sleep 60\n"


class KeepsEverything(FakeRunner):
    """Cannot remove a run, and has one of a test that nobody knows."""

    def run_ids(self) -> list[str]:
        return ["unknown-1-0-0", *super().run_ids()]

    def remove(self, run_id: str) -> None:
        raise RunnerError(f"cannot remove {run_id}")


class OutOfReachOnce(FakeRunner):
    """Does not answer the first time that it is asked how a run is."""

    def __init__(self) -> None:
        super().__init__()
        self.cancelled: list[str] = []
        self.submitted: list[str] = []
        self._asked = False

    def submit(self, spec: RunSpec) -> None:
        self.submitted.append(spec.run_id)
        super().submit(spec)

    def poll(self, run_id: str) -> RunState:
        if not self._asked:
            self._asked = True
            raise RunnerError("no answer")
        return super().poll(run_id)

    def cancel(self, run_id: str) -> None:
        self.cancelled.append(run_id)
        super().cancel(run_id)


async def two_tests(service: Service) -> list[Status]:
    """Statuses of two tests, one after the other."""
    loop = asyncio.create_task(service.lifecycle.loop.run())
    opened = service.opening.open_session(Wanted(bearer=None, task=TASK, agent="tester", scale="smoke"))
    seen = []
    for n in (1, 2):
        service.tools.test(Call(bearer=opened.token, session_id=opened.session_id, arguments=NoArguments()))
        await service.lifecycle.wait(opened.session_id, n, 10)
        seen.append(Status(service.views.test(opened.token, opened.session_id, n).status))
    await asyncio.sleep(0.1)  # for what comes after the result
    assert service.lifecycle.alive
    loop.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await loop
    service.engine.dispose()
    return seen


def house_on(runner: FakeRunner, folder: Path) -> Service:
    slots = Pool.of_slots(runner.slots)
    host = Host(slots, slots, lambda _: False)
    return build(
        ServiceSettings(db=f"sqlite:///{folder / 'ringfence.db'}", state_dir=folder), load_tasks(), runner, host
    )


def test_runs_that_cannot_be_removed_do_not_stop_the_loop(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert asyncio.run(two_tests(house_on(KeepsEverything(), tmp_path))) == [Status.SUCCEEDED] * 2
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert errors[0] == "run unknown-1-0-0 cannot be removed"
    assert all(error.endswith("cannot be removed") for error in errors)


def test_a_run_out_of_reach_is_stopped_before_it_is_tried_again(tmp_path: Path) -> None:
    runner = OutOfReachOnce()
    assert asyncio.run(two_tests(house_on(runner, tmp_path))) == [Status.SUCCEEDED] * 2
    assert runner.cancelled == [runner.submitted[0]]
    assert runner.submitted[1] == runner.submitted[0].removesuffix("-0") + "-1"


def test_after_a_start_with_fewer_slots_every_running_test_can_be_stopped(
    serve_local: Callable[[int], Server],
    tiny: TaskFolder,
    eventually: Callable[..., None],
    nothing_left: Callable[[Server], None],
) -> None:
    tiny.write().stage("only", SLEEP)
    server = serve_local(2)
    agents = [server.open("tiny"), server.open("tiny")]
    for agent in agents:
        assert agent.call("test").status_code == 202
    eventually(lambda: len(tiny.executions()) == 2)
    server.kill()
    server.arguments = tuple("1" if argument == "2" else argument for argument in server.arguments)
    server.start()
    assert [agent.get("/tests/1").json()["status"] for agent in agents] == ["running"] * 2
    for agent in reversed(agents):
        stopped = agent.post("/tests/1/cancel").json()
        assert (stopped["status"], stopped["refunded"]) == ("cancelled", False)
    nothing_left(server)
    assert len(tiny.executions()) == 2
