"""Takes tests from queued to a final status: starts runs, follows them, judges them, and picks up after a restart."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from env.lifecycle.attempts import Attempts
from env.lifecycle.devices import DeviceReturns
from env.lifecycle.execution import Execution
from env.lifecycle.leftovers import clear_up, everybodys
from env.lifecycle.news import TestNews
from env.lifecycle.plan import on_gpus
from env.lifecycle.progress import NoWatcher, Progress, Watcher
from env.lifecycle.reference import Reference
from env.lifecycle.references import ReferenceFailed, References
from env.lifecycle.selfreport import expected_steps
from env.lifecycle.turns import Turns, ask
from env.store.model import Session, Status, Test
from env.store.outage import OUTAGES, Loop
from env.store.store import Store
from env.store.unfinished import Unfinished, all_held, held_devices, in_turn, unfinished
from runner.pool import Host, Pool
from runner.protocol import Runner
from tasks.model import Scale, Task

log = logging.getLogger("ringfence.lifecycle")

REST_S = 10.0
"""Between two looks for tests to start, if nobody wakes the loop."""
LIMIT_S = 180.0
"""A look that takes longer is stuck. The first may have to remove a lot."""


class Lifecycle(TestNews):
    """The tests of a service, from the call that bought them to their result."""

    def __init__(
        self,
        store: Store,
        runner: Runner,
        host: Host,
        clock: Callable[[], datetime],
        watcher: Watcher | None = None,
        data_dir: Path | None = None,
        *,
        turns: Turns | None = None,
        ours: Callable[[str], bool] = everybodys,
    ) -> None:
        """`data_dir` is the data folder that runs read; None where nothing is really trained. `turns` are those of all
        runs on the host; by default nobody waits. `ours` tells by a session's id whether its tests are to be taken.
        """
        super().__init__(store)
        self._runner = runner
        self._host = host
        self._clock = clock
        self._watcher = watcher or NoWatcher()
        self._ours = ours
        self._turns = turns or Turns(runner, apart=False)
        self._attempts = Attempts(runner, self._turns)
        self._returns = DeviceReturns(host, self.wake)
        self._references = References(data_dir, runner, self._turns)
        self._execution = Execution(
            store, self._attempts, self._references, clock, self._watcher, runner.name, data_dir
        )
        self._set_aside: set[tuple[str, int]] = set()
        """Tests that can be neither handled nor ended, until a restart."""
        self._live: dict[tuple[str, int], Progress] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way: set[tuple[str, int]] = set()
        """Tests of which a run went on when the service started."""
        self._woken = asyncio.Event()
        self._tidy = asyncio.Event()
        self.loop = Loop("taking tests", self._round, self._rest, LIMIT_S)

    @property
    def alive(self) -> bool:
        """Whether tests are being taken."""
        return self.loop.running and self._tidy.is_set()

    @property
    def trouble(self) -> str | None:
        """Why no test could be run at the moment, in words; None where nothing is known to be wrong."""
        return self.loop.trouble

    @property
    def machine(self) -> Mapping[str, str]:
        """What the runner says of hardware and versions; nothing before it was asked."""
        return self._execution.machine

    @property
    def idle(self) -> bool:
        """Whether tests are being taken and there is none, nor anything left of one."""
        return self.alive and not self._live and not self._tasks

    async def tidied(self) -> None:
        """Waits until what the service left behind when it last died is removed: an id of then can be used again."""
        await self._tidy.wait()

    async def settled(self) -> None:
        """Waits until nothing of tests that are over is left, and their devices are given back."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def wake(self) -> None:
        """Has the loop look for tests to start, after one was committed as queued."""
        self._woken.set()

    def progress(self, session_id: str, n: int) -> Progress | None:
        """What a test that runs can tell of itself; None for any other."""
        return self._live.get((session_id, n))

    def waiting(self) -> Counter[str]:
        """How many runs wait on a cluster, by its reasons."""
        return Counter(live.queued.reason or "unknown" for live in self._live.values() if live.queued is not None)

    def cancel(self, session: Session, test: Test) -> None:
        """A test that waits ends at once, and is refunded; a running one is told to stop."""
        if test.status is Status.QUEUED:
            self._execution.finish(session, replace(test, status=Status.CANCELLED))
            self.last_beat((test.session_id, test.n))
            return
        with self._store.begin() as conn:
            self._store.request_cancel(conn, test)
        live = self._live.get((test.session_id, test.n))
        if live is not None:  # else it is not taken up again yet after a restart
            live.cancel_requested = True

    async def make_reference(self, task: Task, scale: Scale, seed: int | None = None) -> Reference:
        """Made unless it is there; at a seed, with what it measures. Raises ReferenceFailed, NoDevice."""
        pool = self._host.pool(on_gpus(scale))
        if not pool.fits(scale.world_size):
            raise ReferenceFailed(f"this host has no {scale.world_size} devices for scale {scale.name}")
        async with self._returns.lent(pool, scale.world_size) as devices:
            return await self._references.make(task, scale, devices, self._clock(), seed)

    async def _round(self) -> None:
        """The first takes up what was under way when the service last died."""
        if not self._tidy.is_set():
            self._execution.machine = await ask(self._runner.describe)
            for lack in await ask(self._runner.lacks):
                log.warning("this host's sandbox: %s. To mend it, %s", lack.what, lack.remedy)
            await clear_up(self._store, self._attempts, self._returns, self._ours)
            self._under_way = await self._turns.take_up()
            self._tidy.set()
        self._woken.clear()
        with self._store.begin() as conn:
            held = all_held(conn)
        await self._returns.avoid_foreign(held)
        for one in self._start_waiting():
            await self._give_up(one)

    async def _rest(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), REST_S)

    def _rank(self, one: Unfinished) -> int:
        """Those that go on come first: nobody may be between an evaluation and who follows it."""
        if one.status is not Status.RUNNING:
            return 2
        return 0 if one.key in self._under_way else 1

    def _start_waiting(self) -> list[Unfinished]:
        """Starts what there are devices for; returns the tests that it could not handle, for which no other waits."""
        with self._store.begin() as conn:
            found = in_turn(conn, unfinished(conn))
        known = self._live.keys() | self._set_aside
        waiting = [one for one in found if one.key not in known and self._ours(one.session_id)]
        full: set[Pool] = set()  # nobody overtakes whoever waits for the same devices
        broken = []
        for one in sorted(waiting, key=self._rank):
            if one.status is Status.RUNNING or len(full) < self._host.pools:
                try:
                    self._start_if_possible(one, full)
                except OUTAGES:
                    raise
                except Exception:
                    log.exception("test %s-%s cannot be handled: it is given up", one.session_id, one.n)
                    broken.append(one)
                    with self._store.begin() as conn:
                        self._returns.keep_off(held_devices(conn, one))
        return broken

    def _start_if_possible(self, one: Unfinished, full: set[Pool]) -> None:
        with self._store.begin() as conn:
            session, test = self._store.session(conn, one.session_id), self._store.test(conn, one.session_id, one.n)
        assert session is not None
        assert test is not None
        scale = session.size_of(test)
        pool = self._host.pool(on_gpus(scale))
        waited = test.status is Status.QUEUED
        if not waited:
            pool.adopt(test.devices)
        else:
            devices = None if pool in full else pool.lease(scale.world_size)
            if devices is None:
                full.add(pool)
                return
            test = replace(test, status=Status.RUNNING, started_at=self._clock(), devices=devices)
            test = self._execution.with_origin(session, test)
        try:
            if waited:
                with self._store.begin() as conn:
                    self._store.set_running(conn, test)
                self._watcher.started(session, test)
            live = Progress(expected_steps(scale.settings), cancel_requested=test.cancel_requested)
        except BaseException:
            pool.give_back(test.devices)
            raise
        self._live[one.key] = live
        self.beat(one.key)
        task = asyncio.create_task(self._supervise(session, test, live, pool))
        self._tasks.add(task)
        task.add_done_callback(self._over)

    async def _supervise(self, session: Session, test: Test, live: Progress, pool: Pool) -> None:
        key = (test.session_id, test.n)
        try:
            over = await self._execution.run(session, test, live, lambda: self.beat(key))
            if not over:
                self._set_aside.add(key)
        finally:
            del self._live[key]
            self.last_beat(key)
        # A run's folder stays until its outcome is committed.
        clear = self._attempts.remove_where if over else self._attempts.stop_where
        await clear(lambda other: other == key)
        await self._returns.give_back(pool, test.devices)

    async def _give_up(self, one: Unfinished) -> None:
        self._execution.give_up(one)
        self.last_beat(one.key)
        await self._attempts.remove_where(lambda key: key == one.key)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a test's supervision broke down", exc_info=error)


def utc_now() -> datetime:
    """The clock of a service that runs for real."""
    return datetime.now(UTC)
