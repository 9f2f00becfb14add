"""Takes tests from queued to a final status: starts runs, follows them, judges them, and picks up after a restart."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from env.lifecycle.attempts import Attempts
from env.lifecycle.compute import compute, compute_note
from env.lifecycle.feedback import tested
from env.lifecycle.plan import on_gpus, plan
from env.lifecycle.progress import NoWatcher, Progress, Pulse, Watcher
from env.lifecycle.record import result_of
from env.lifecycle.reference import Reference
from env.lifecycle.references import ReferenceFailed, References
from env.lifecycle.selfreport import expected_steps
from env.lifecycle.turns import Turns, ask
from env.store.model import Session, Status, Test, tests_left
from env.store.store import Store
from leaderboard import writing as leaderboard
from runner.pool import Host, Pool
from runner.protocol import Runner
from tasks.model import Scale, Task

log = logging.getLogger("ringfence.lifecycle")

IDLE_S = 60.0
"""How long a GPU may take to lose the last process of a run that is over, before it is taken out of service."""


class Lifecycle:
    """The tests of a service, from the call that bought them to their result."""

    def __init__(
        self,
        store: Store,
        runner: Runner,
        host: Host,
        clock: Callable[[], datetime],
        watcher: Watcher | None = None,
        data_dir: Path | None = None,
        turns: Turns | None = None,
    ) -> None:
        """`data_dir` is the data folder that the runner's runs read; None where nothing is really trained. `turns` are
        those of all runs on the host; by default nobody waits for anybody.
        """
        self._store = store
        self._runner = runner
        self._host = host
        self._clock = clock
        self._watcher = watcher or NoWatcher()
        self._turns = turns or Turns(runner, apart=False)
        self._attempts = Attempts(runner, self._turns)
        self._data_dir = data_dir
        self._references = References(data_dir, runner, self._turns)
        self._machine: Mapping[str, str] = {}
        """Hardware and versions, for the record of results."""
        self._live: dict[tuple[str, int], Progress] = {}
        self._pulses: defaultdict[tuple[str, int], Pulse] = defaultdict(Pulse)
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way: set[tuple[str, int]] = set()
        """Tests of which a run went on when the service started."""
        self._woken = asyncio.Event()
        self._alive = False
        self._tidy = asyncio.Event()
        self._stopping = False

    # --- for the service ----------------------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """Whether the loop is running."""
        return self._alive

    async def tidied(self) -> None:
        """Waits until what the service left behind when it last died is removed: an id of then can be used again."""
        await self._tidy.wait()

    @property
    def stopping(self) -> bool:
        """Whether the service is about to leave, so that nobody gets news any more."""
        return self._stopping

    def dismiss(self) -> None:
        """Ends everyone's waiting for news. The runs go on, to be taken up by the next start."""
        self._stopping = True
        for pulse in self._pulses.values():
            pulse.beat()

    async def settled(self) -> None:
        """Waits until what tests that are over left behind is removed, and their devices are given back."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def can_run(self, session: Session) -> bool:
        """Whether this host has the devices at all."""
        scale = session.size
        return self._host.pool(on_gpus(scale)).fits(scale.world_size)

    def wake(self) -> None:
        """Has the loop look for tests to start: to be called after one was committed as queued."""
        self._woken.set()

    def progress(self, session_id: str, n: int) -> Progress | None:
        """What a test that runs can tell of itself; None for any other."""
        return self._live.get((session_id, n))

    def cancel(self, session: Session, test: Test) -> None:
        """A test that waits ends at once, and is refunded; a running one is told to stop."""
        if test.status is Status.QUEUED:
            self._finish(session, replace(test, status=Status.CANCELLED))
            return
        with self._store.begin() as conn:
            self._store.request_cancel(conn, test)
        live = self._live.get((test.session_id, test.n))
        if live is not None:  # else it is not taken up again yet after a restart
            live.cancel_requested = True

    async def wait(self, session_id: str, n: int, seconds: float) -> None:
        """Waits until the test is final, or `seconds` have passed."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while (left := deadline - loop.time()) > 0 and await self.changed(session_id, n, left):
            pass

    async def changed(self, session_id: str, n: int, seconds: float) -> bool:
        """Waits for news of the test: True when there is, False when it is final or `seconds` have passed."""
        if self._stopping:
            return False
        with self._store.begin() as conn:
            if self._store.status(conn, session_id, n).final:
                return False
        return await self._pulses[session_id, n].wait(seconds)

    async def make_reference(self, task: Task, scale: Scale) -> Reference:
        """The reference for tests of a task at a scale, made unless it is there. Raises ReferenceFailed."""
        pool = self._host.pool(on_gpus(scale))
        devices = pool.lease(scale.world_size)
        if devices is None:
            raise ReferenceFailed(f"this host has no {scale.world_size} free devices for scale {scale.name}")
        try:
            return await self._references.make(task, scale, devices, self._clock())
        finally:
            await asyncio.gather(*(self._give_back(pool, device) for device in devices))

    # --- the loop -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Runs until cancelled. What was under way when the service last died is taken up first."""
        self._machine = await ask(self._runner.describe)
        for lack in await ask(self._runner.lacks):
            log.warning("this host's sandbox: %s. To mend it, %s", lack.what, lack.remedy)
        await self._remove_orphans()
        self._under_way = await self._turns.take_up()
        self._tidy.set()
        self._alive = True
        try:
            await self._serve()
        finally:
            self._alive = False

    async def _serve(self) -> None:
        while True:
            self._woken.clear()
            with self._store.begin() as conn:
                waiting = [t for t in self._store.unfinished(conn) if (t.session_id, t.n) not in self._live]
            full: set[Pool] = set()  # nobody overtakes whoever waits for the same devices
            # Those that run already hold theirs, however many there are since the restart.
            for test in sorted(waiting, key=self._rank):
                if test.status is Status.RUNNING or len(full) < self._host.pools:
                    self._start_if_possible(test, full)
            await self._woken.wait()

    def _rank(self, test: Test) -> int:
        """Those that go on come first: nobody may be between an evaluation and who follows it."""
        if test.status is not Status.RUNNING:
            return 2
        return 0 if (test.session_id, test.n) in self._under_way else 1

    def _start_if_possible(self, test: Test, full: set[Pool]) -> None:
        with self._store.begin() as conn:
            session = self._store.session(conn, test.session_id)
            assert session is not None
            scale = session.size
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
                self._store.set_running(conn, test)
        if waited:
            self._watcher.started(session, test)
        live = Progress(expected_steps(scale.settings), cancel_requested=test.cancel_requested)
        self._live[test.session_id, test.n] = live
        self._pulses[test.session_id, test.n].beat()
        task = asyncio.create_task(self._supervise(session, test, live, pool))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _supervise(self, session: Session, test: Test, live: Progress, pool: Pool) -> None:
        try:
            await self._take_through(session, test, live)
        except Exception:
            # Ours, whatever it was: the agent gets the test back and the loop goes on.
            log.exception("test %s failed inside the service", test.run_key)
            self._finish(session, replace(test, status=Status.INFRA_FAILED))
        finally:
            del self._live[test.session_id, test.n]
        await self._attempts.remove_where(lambda key: key == (test.session_id, test.n))
        await asyncio.gather(*(self._give_back(pool, device) for device in test.devices))

    async def _take_through(self, session: Session, test: Test, live: Progress) -> None:
        key = (test.session_id, test.n)
        status = Status.SUCCEEDED
        reference = await self._references.ready(session.task, session.size, test.devices, self._clock())
        for item in plan(session.size):
            run = next((run for run in test.runs if run.position == item.position), None)
            if run is None:
                live.earlier = tuple(point for done in test.runs for point in done.series)
                live.label, live.evaluating = item.stage.label, item.evaluates
                run = await self._attempts.run(session, test, item, live, lambda: self._pulses[key].beat(), reference)
                if not item.evaluates:
                    so_far = replace(test, runs=(*test.runs, run))
                    note = compute_note(compute(so_far, session.size, reference, self._machine))
                    run = replace(run, note=" ".join(filter(None, (run.note, note))))
                with self._store.begin() as conn:
                    self._store.add_run(conn, test, run)
                test = replace(test, runs=(*test.runs, run))
                self._watcher.ran(session, test, run, evaluates=item.evaluates)
            status = run.status
            if status is not Status.SUCCEEDED:
                break
        self._finish(session, replace(test, status=status), reference)

    def _finish(self, session: Session, test: Test, reference: Reference | None = None) -> None:
        """One transaction: the test's final status and its row on the leaderboard."""
        with self._store.begin() as conn:
            others = [t for t in self._store.tests(conn, session.id) if t.n != test.n]
            never_ran = test.status is Status.CANCELLED and test.started_at is None
            test = replace(test, ended_at=self._clock(), refunded=never_ran or test.status is Status.INFRA_FAILED)
            left = tests_left(session, (*others, test))
            test = replace(test, observation=tested(test, session.task.budget.tests, left))
            self._store.finish(conn, test)
            if not test.refunded:
                leaderboard.record(conn, result_of(session, test, self._machine, reference, self._data_dir))
        self._watcher.finished(session, test)
        self._pulses.pop((test.session_id, test.n), Pulse()).beat()

    async def _remove_orphans(self) -> None:
        """Runs of tests that are over, and of rehearsals: the service died before the clean-up."""
        with self._store.begin() as conn:
            wanted = {(test.session_id, test.n) for test in self._store.unfinished(conn)}
        await self._attempts.remove_where(lambda key: key not in wanted)

    async def _give_back(self, pool: Pool, device: str) -> None:
        """The host has the last word: a device with a process on it goes to nobody."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + IDLE_S
        while await ask(self._host.busy, device):
            if loop.time() > deadline:
                log.error("device %s is not free after its run is over: out of service until a restart", device)
                return
            await asyncio.sleep(0.2)
        pool.give_back([device])
        self.wake()


def utc_now() -> datetime:
    """The clock of a service that runs for real."""
    return datetime.now(UTC)
