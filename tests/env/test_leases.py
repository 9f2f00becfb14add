"""Tests and the GPUs they hold: nobody's device goes to somebody else, and no device goes out before it is idle."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from env.lifecycle.plan import owner
from env.service.call import Call
from env.service.opening import Wanted
from env.service.service import Service, build
from env.service.settings import ServiceSettings
from env.store.model import Status
from ringfence.api.arguments import TestArguments as NoArguments
from runner.fake.runner import FakeRunner
from runner.pool import Device, Host, Pool
from runner.protocol import RunSpec
from tasks.load import load_tasks
from tests.support.service import TASK


class Watched(FakeRunner):
    """Knows which test is on which devices, from its first run until its last is removed."""

    def __init__(self) -> None:
        super().__init__(step_s=0.001)
        self.held: dict[tuple[str, int], tuple[str, ...]] = {}
        self.given: list[tuple[str, ...]] = []
        self.most = 0
        self.shared: list[str] = []

    def submit(self, spec: RunSpec) -> None:
        test = owner(spec.run_id)
        if test not in self.held:  # the first run of a test trains on all that the test was given
            self.given.append(spec.device_ids)
            self.held[test] = spec.device_ids
        others = {device for other, devices in self.held.items() if other != test for device in devices}
        used = {device for run in (spec, *spec.workers) for device in run.device_ids}
        if used & others or not used <= set(self.held[test]):
            self.shared.append(spec.run_id)
        self.most = max(self.most, len(self.held))
        super().submit(spec)

    def remove(self, run_id: str) -> None:
        super().remove(run_id)
        if not any(owner(left) == owner(run_id) for left in self.run_ids()):
            self.held.pop(owner(run_id), None)


def on_four_gpus(
    folder: Path, runner: FakeRunner, busy: Callable[[str], bool], use: Callable[[Service], Coroutine[Any, Any, None]]
) -> None:
    """Has `use` at hand a service with four GPUs, which its tests need in pairs."""

    async def serve() -> None:
        host = Host(Pool.of_slots(1), Pool([Device(str(number)) for number in range(4)]), busy)
        service = build(
            ServiceSettings(db=f"sqlite:///{folder / 'ringfence.db'}", state_dir=folder), load_tasks(), runner, host
        )
        loop = asyncio.create_task(service.lifecycle.loop.run())
        try:
            await use(service)
        finally:
            loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await loop
            service.engine.dispose()

    asyncio.run(serve())


async def one_test(service: Service) -> None:
    opened = service.opening.open_session(Wanted(bearer=None, task=TASK, agent="tester", scale="gpt-345m"))
    service.tools.test(Call(bearer=opened.token, session_id=opened.session_id, arguments=NoArguments()))
    await service.lifecycle.wait(opened.session_id, 1, 20)
    seen = service.views.test(opened.token, opened.session_id, 1)
    assert Status(seen.status) is Status.SUCCEEDED


def test_no_device_is_in_two_tests_at_once(tmp_path: Path) -> None:
    runner = Watched()

    async def seven_at_once(service: Service) -> None:
        await asyncio.gather(*(one_test(service) for _ in range(7)))

    on_four_gpus(tmp_path, runner, lambda _: False, seven_at_once)
    assert runner.shared == []
    assert len(runner.given) == 7
    assert all(len(set(devices)) == 2 for devices in runner.given)
    assert runner.most == 2


def test_a_device_with_a_process_on_it_goes_to_nobody_until_it_is_idle(tmp_path: Path) -> None:
    runner = Watched()
    still_on: set[str] = set()

    async def use(service: Service) -> None:
        still_on.add("0")
        await one_test(service)
        assert runner.given == [("0", "1")]
        await asyncio.gather(*(one_test(service) for _ in range(3)))
        assert len(runner.given) == 4
        assert not any("0" in devices for devices in runner.given[1:])
        still_on.clear()
        while len(runner.given) < 20 and "0" not in runner.given[-1]:
            await asyncio.gather(one_test(service), one_test(service))

    on_four_gpus(tmp_path, runner, lambda device: bool(runner.given) and device in still_on, use)
    assert any("0" in devices for devices in runner.given[4:])
    assert runner.shared == []


def test_a_device_that_somebody_else_is_on_at_the_start_goes_to_nobody(tmp_path: Path) -> None:
    runner = Watched()

    async def use(service: Service) -> None:
        await asyncio.gather(*(one_test(service) for _ in range(2)))

    on_four_gpus(tmp_path, runner, {"0", "2"}.__contains__, use)
    assert [set(devices) for devices in runner.given] == [{"1", "3"}] * 2
