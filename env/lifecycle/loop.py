"""Takes tests from queued to a final status: starts runs, follows them, judges them, and picks up after a restart."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar

from sqlalchemy import Engine

from env.feedback import tested
from env.lifecycle.judgement import Judgement, judge_evaluation, judge_training
from env.lifecycle.plan import PlannedRun, owner, plan, run_id, spec
from env.lifecycle.progress import MetricsTail, Progress, Pulse
from env.lifecycle.record import result_of
from env.session import Run, Session, Status, Test
from env.store.store import Store
from leaderboard import store as leaderboard
from runner.protocol import Exit, ExitReason, Phase, Runner, RunnerError, RunState
from runner.text import useful_end

log = logging.getLogger("ringfence.lifecycle")
T = TypeVar("T")

POLL_S = 0.05
POLL_MAX_S = 0.5
ATTEMPTS = 2
DIVERGED_GRACE_S = 3.0
"""How long a run that reported a non-finite loss may take to end by itself, which leaves the better message."""
OUTPUT_CHARS = 6000


class Lifecycle:
    def __init__(self, engine: Engine, store: Store, runner: Runner, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._store = store
        self._runner = runner
        self._clock = clock
        self._live: dict[tuple[str, int], Progress] = {}
        self._pulses: defaultdict[tuple[str, int], Pulse] = defaultdict(Pulse)
        self._tasks: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._alive = False
        self._stopping = False

    # --- for the service ----------------------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """The loop is running."""
        return self._alive

    @property
    def stopping(self) -> bool:
        """Nobody gets news any more: the service is about to leave."""
        return self._stopping

    def dismiss(self) -> None:
        """Everyone who waits for news goes home now. The runs go on, to be taken up by the next start."""
        self._stopping = True
        for pulse in self._pulses.values():
            pulse.beat()

    def wake(self) -> None:
        """Call after a test was committed as queued."""
        self._woken.set()

    def progress(self, session_id: str, n: int) -> Progress | None:
        return self._live.get((session_id, n))

    def cancel(self, session: Session, test: Test) -> None:
        """A test that waits ends at once, and is refunded; a running one is told to stop."""
        if test.status is Status.QUEUED:
            self._finish(session, replace(test, status=Status.CANCELLED))
            return
        with self._engine.begin() as conn:
            self._store.request_cancel(conn, test)
        live = self._live.get((test.session_id, test.n))
        if live is not None:  # else it is not taken up again yet after a restart
            live.cancel_requested = True

    async def wait(self, session_id: str, n: int, seconds: float) -> None:
        """Until the test is final, or `seconds` have passed."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while (left := deadline - loop.time()) > 0 and await self.changed(session_id, n, left):
            pass

    async def changed(self, session_id: str, n: int, seconds: float) -> bool:
        """Waits for news of the test: True when there is, False when it is final or `seconds` have passed."""
        if self._stopping:
            return False
        with self._engine.begin() as conn:
            if self._store.status(conn, session_id, n).final:
                return False
        return await self._pulses[session_id, n].wait(seconds)

    # --- the loop -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Runs until cancelled. What was under way when the service last died is taken up first."""
        await self._remove_orphans()
        self._alive = True
        try:
            await self._serve()
        finally:
            self._alive = False

    async def _serve(self) -> None:
        while True:
            self._woken.clear()
            with self._engine.begin() as conn:
                waiting = [t for t in self._store.unfinished(conn) if (t.session_id, t.n) not in self._live]
            # Those that run already hold their devices, however many slots there are since the restart.
            for test in sorted(waiting, key=lambda test: test.status is not Status.RUNNING):
                if test.status is Status.RUNNING or len(self._live) < self._runner.slots:
                    self._start(test)
            await self._woken.wait()

    def _start(self, test: Test) -> None:
        with self._engine.begin() as conn:
            session = self._store.session(conn, test.session_id)
            assert session is not None
            if test.status is Status.QUEUED:
                test = replace(test, status=Status.RUNNING, started_at=self._clock())
                self._store.set_running(conn, test)
        live = Progress(_total_steps(session), cancel_requested=test.cancel_requested)
        self._live[test.session_id, test.n] = live
        self._pulses[test.session_id, test.n].beat()
        task = asyncio.create_task(self._supervise(session, test, live))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _supervise(self, session: Session, test: Test, live: Progress) -> None:
        try:
            await self._take_through(session, test, live)
        except Exception:
            # Ours, whatever it was: the agent gets the test back and the loop goes on.
            log.exception("test %s failed inside the service", test.run_key)
            self._finish(session, replace(test, status=Status.INFRA_FAILED))
        finally:
            del self._live[test.session_id, test.n]
            self.wake()

    async def _take_through(self, session: Session, test: Test, live: Progress) -> None:
        assert session.scale is not None
        planned = plan(session.task.scales[session.scale])
        status = Status.SUCCEEDED
        for item in planned:
            run = next((run for run in test.runs if _position(run) == item.position), None)
            if run is None:
                live.earlier = tuple(point for done in test.runs for point in done.series)
                run = await self._run(session, test, item, live)
                with self._engine.begin() as conn:
                    self._store.add_run(conn, test, item.position, run)
                test = replace(test, runs=(*test.runs, run))
            status = run.status
            if status is not Status.SUCCEEDED:
                break
        self._finish(session, replace(test, status=status))
        for attempt in range(ATTEMPTS):
            for item in planned:
                await self._forget(run_id(test, item.position, attempt))

    def _finish(self, session: Session, test: Test) -> None:
        """One transaction: the test's final status and its row on the leaderboard."""
        budget = session.task.budget.tests
        with self._engine.begin() as conn:
            others = [t for t in self._store.tests(conn, session.id) if t.n != test.n]
            never_ran = test.status is Status.CANCELLED and test.started_at is None
            test = replace(test, ended_at=self._clock(), refunded=never_ran or test.status is Status.INFRA_FAILED)
            used = sum(not t.refunded for t in (*others, test))
            test = replace(test, observation=tested(test, budget, budget - used))
            self._store.finish(conn, test)
            if not test.refunded:
                leaderboard.record(conn, result_of(session, test, self._runner.describe()))
        self._pulses.pop((test.session_id, test.n), Pulse()).beat()

    # --- one run ------------------------------------------------------------------------------------------------

    async def _run(self, session: Session, test: Test, item: PlannedRun, live: Progress) -> Run:
        live.label, live.evaluating = item.stage.label, item.evaluates
        for attempt in range(ATTEMPTS):
            run = await self._attempt(session, test, item, live, attempt)
            if run.status is not Status.INFRA_FAILED:
                break
            log.warning("run %s: %s", run.run_id, run.reason)
        return run

    async def _attempt(self, session: Session, test: Test, item: PlannedRun, live: Progress, attempt: int) -> Run:
        assert session.scale is not None
        upstream = None if item.upstream is None else test.runs[item.upstream].run_id
        wanted = spec(session.task, session.task.scales[session.scale], test, item, attempt, upstream)
        name = wanted.run_id
        live.tail = MetricsTail()
        try:
            await self._ask(self._runner.submit, wanted)
            state = await self._follow(name, live, (test.session_id, test.n))
            judged = await self._judge(name, item, state, live)
            output = "" if judged.status is Status.SUCCEEDED else await self._useful_end(name, test)
        except RunnerError as error:
            judged, output, state = Judgement(Status.INFRA_FAILED, str(error)), "", RunState(Phase.UNKNOWN)
            with contextlib.suppress(RunnerError):
                await self._ask(self._runner.cancel, name)  # it may still run, on the devices of the next attempt
        series = () if item.evaluates else tuple(live.tail.series)
        return Run(
            name,
            item.stage.label,
            item.stage.script,
            judged.status,
            state.started_at,
            state.ended_at,
            judged.reason,
            output,
            series,
            judged.metrics,
        )

    async def _follow(self, name: str, live: Progress, key: tuple[str, int]) -> RunState:
        """Reads the run's output as it comes until the run is over; passes cancellations on."""
        offset, interval, told_to_stop = 0, POLL_S, False
        diverged_at: float | None = None
        loop = asyncio.get_running_loop()
        while True:
            state = await self._ask(self._runner.poll, name)
            news, live.started_at = live.started_at != state.started_at, state.started_at
            while chunk := await self._ask(self._runner.log, name, "stdout", offset):
                offset += len(chunk)
                news = live.tail.feed(chunk) or news
            if news:
                self._pulses[key].beat()
            if state.phase is Phase.ENDED:
                return state
            if state.phase is Phase.UNKNOWN:
                raise RunnerError(f"run {name} is not known to the {self._runner.name} runner any more")
            if live.tail.diverged and diverged_at is None:
                diverged_at = loop.time()
            overdue = diverged_at is not None and loop.time() - diverged_at > DIVERGED_GRACE_S
            if (live.cancel_requested or overdue) and not told_to_stop:
                told_to_stop = True
                await self._ask(self._runner.cancel, name)
            await asyncio.sleep(interval)
            interval = min(interval * 1.1, POLL_MAX_S)

    async def _judge(self, name: str, item: PlannedRun, state: RunState, live: Progress) -> Judgement:
        ended = state.exit or Exit(ExitReason.LOST)
        if not item.evaluates:
            return judge_training(ended, live.tail.series, live.cancel_requested)
        metrics = await self._ask(self._runner.collect, name, "metrics.json")
        return judge_evaluation(ended, metrics, live.cancel_requested)

    async def _useful_end(self, name: str, test: Test) -> str:
        stdout, stderr = [await self._whole_log(name, stream) for stream in ("stdout", "stderr")]
        text = useful_end(stdout, stderr, OUTPUT_CHARS)
        for path in test.files:  # as the agent knows it, not where this host keeps it
            text = re.sub(rf'File "[^"\n]*/{re.escape(path)}"', f'File "{path}"', text)
        return text

    async def _whole_log(self, name: str, stream: str) -> bytes:
        chunks: list[bytes] = []
        while chunk := await self._ask(self._runner.log, name, stream, sum(map(len, chunks))):
            chunks.append(chunk)
        return b"".join(chunks)

    async def _remove_orphans(self) -> None:
        """Runs of tests that are over: the service died between the last commit and the clean-up."""
        with self._engine.begin() as conn:
            wanted = {(test.session_id, test.n) for test in self._store.unfinished(conn)}
        for name in await self._ask(self._runner.run_ids):
            if owner(name) not in wanted:
                await self._forget(name)

    async def _forget(self, name: str) -> None:
        try:
            await self._ask(self._runner.remove, name)
        except Exception:
            # Nobody's result depends on it, and the next start tries again.
            log.exception("run %s cannot be removed", name)

    async def _ask(self, call: Callable[..., T], *arguments: object) -> T:
        """The runner may block on a disk or an engine: never in the service's own thread."""
        return await asyncio.to_thread(call, *arguments)


def _total_steps(session: Session) -> int | None:
    assert session.scale is not None
    steps = session.task.scales[session.scale].settings.get("MAX_ITERS", "")
    return int(steps) if steps.isdecimal() else None


def _position(run: Run) -> int:
    return int(run.run_id.rsplit("-", 2)[1])


def utc_now() -> datetime:
    return datetime.now(UTC)
