"""One test from the moment it has its devices to its final status: its runs, and what they come to."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from env.lifecycle import feedback, standing
from env.lifecycle.attempts import Attempts
from env.lifecycle.compute import compute, compute_note
from env.lifecycle.plan import PlannedRun, on_gpus, plan
from env.lifecycle.progress import Progress, Watcher
from env.lifecycle.question import cost_growth_note
from env.lifecycle.record import data_digests, result_of
from env.lifecycle.reference import Reference
from env.lifecycle.references import References
from env.store.budget import gpu_hours_used, probes_left, tests_left
from env.store.keys import name_of
from env.store.model import Run, Session, Status, Test
from env.store.outage import until_committed
from env.store.store import Store
from env.store.unfinished import Unfinished, give_up
from leaderboard import reading
from leaderboard import writing as leaderboard

log = logging.getLogger("ringfence.lifecycle")


class OtherOrigin(Exception):
    """A test cannot go on with what the service has now; it is given back, as that is no fault of its agent's."""


class Execution:
    """Executes tests. What a run or a test came to is held here until the database has it, however long that takes;
    should the service die meanwhile, the next one finds the runs' folders and comes to the same.
    """

    def __init__(
        self,
        store: Store,
        attempts: Attempts,
        references: References,
        clock: Callable[[], datetime],
        watcher: Watcher,
        runner: str,
        data_dir: Path | None,
    ) -> None:
        """`runner` by its name; `data_dir` is None where nothing is really trained."""
        self._store = store
        self._attempts = attempts
        self._references = references
        self._clock = clock
        self._watcher = watcher
        self._runner = runner
        self._data_dir = data_dir
        self.machine: Mapping[str, str] = {}
        """Hardware and versions, for the record of results."""

    def with_origin(self, session: Session, test: Test) -> Test:
        """A test that is about to start, with what it is started with."""
        return replace(test, runner=self._runner, data=data_digests(session.size_of(test), self._data_dir))

    def _moved(self, session: Session, test: Test) -> bool:
        """Whether the service was started again with another runner or other data while the test ran. What it has run
        so far and what would follow are not of one origin then.
        """
        return test.runner is not None and self.with_origin(session, test) != test

    async def run(self, session: Session, test: Test, live: Progress, news: Callable[[], None]) -> bool:
        """Takes a test to its final status. `news` is called whenever `live` has changed.

        False if not even its failure can be written: it has to be set aside.
        """
        reference = None
        try:
            if self._moved(session, test):
                raise OtherOrigin(f"test {test.run_key} was started with another runner, or on other data")
            scale = session.size_of(test)
            reference = await self._references.ready(session.task, scale, test.devices, self._clock())
            ended = await self._take_through(session, test, live, news, reference)
        except Exception:
            # Ours, whatever it was: the agent gets the test back and all others go on.
            log.exception("test %s failed inside the service", test.run_key)
            ended = replace(test, status=Status.INFRA_FAILED)
        ended = self._with_end(session, ended)
        try:
            await until_committed(f"the outcome of test {test.run_key}", lambda: self._write(session, ended, reference))
        except Exception:
            log.exception("what test %s came to cannot be written, so it is given up", test.run_key)
            return await self._gave_up(test)
        self._watcher.finished(session, ended)
        return True

    def finish(self, session: Session, test: Test) -> None:
        """Ends a test that does not run. Raises what the database raises."""
        ended = self._with_end(session, test)
        self._write(session, ended)
        self._watcher.finished(session, ended)

    def give_up(self, one: Unfinished) -> None:
        """Ends a test that cannot be handled, and refunds it. Raises what the database raises."""
        with self._store.begin() as conn:
            give_up(conn, one, self._clock(), feedback.given_up(name_of(one.n)))

    async def _gave_up(self, test: Test) -> bool:
        one = Unfinished(session_id=test.session_id, n=test.n, status=test.status)
        try:
            await until_committed(f"giving up test {test.run_key}", lambda: self.give_up(one))
        except Exception:
            log.exception("test %s can neither be ended nor given up: it is set aside", test.run_key)
            return False
        return True

    async def _take_through(
        self, session: Session, test: Test, live: Progress, news: Callable[[], None], reference: Reference | None
    ) -> Test:
        status = Status.SUCCEEDED
        for item in plan(session.size_of(test)):
            run = next((run for run in test.runs if run.position == item.position), None)
            if run is None:
                live.earlier = tuple(point for done in test.runs for point in done.series)
                live.label, live.evaluating = item.stage.label, item.evaluates
                run = await self._run(session, test, item, live, news, reference)
                test = replace(test, runs=(*test.runs, run))
            status = run.status
            if status is not Status.SUCCEEDED:
                break
        return replace(test, status=status)

    async def _run(
        self,
        session: Session,
        test: Test,
        item: PlannedRun,
        live: Progress,
        news: Callable[[], None],
        reference: Reference | None,
    ) -> Run:
        run = await self._attempts.run(session, test, item, live, news, reference)
        if not item.evaluates:
            so_far = replace(test, runs=(*test.runs, run))
            note = compute_note(compute(so_far, session.size_of(test), reference, self.machine))
        else:
            note = cost_growth_note(None if run.evaluation is None else run.evaluation.cost_growth)
        run = replace(run, note=" ".join(filter(None, (run.note, note))))

        def write() -> None:
            with self._store.begin() as conn:
                self._store.add_run(conn, test, run)

        await until_committed(f"what run {run.run_id} came to", write)
        self._watcher.ran(session, test, run, evaluates=item.evaluates)
        return run

    def _with_end(self, session: Session, test: Test) -> Test:
        scale = session.size_of(test)
        gpu_s = sum(run.elapsed_s for run in test.runs) * scale.world_size if on_gpus(scale) else None
        never_ran = test.status is Status.CANCELLED and test.started_at is None
        refunded = never_ran or test.status is Status.INFRA_FAILED
        return replace(test, ended_at=self._clock(), refunded=refunded, gpu_s=None if refunded else gpu_s)

    def _write(self, session: Session, test: Test, reference: Reference | None = None) -> None:
        """One transaction: the test's final status and its row on the leaderboard, where probes have none."""
        with self._store.begin() as conn:
            status = self._store.status(conn, session.id, test.n)
            assert status is not None
            if status.final:
                return  # an attempt before this one was committed after all
            stands = used = ""
            if not test.refunded and not test.is_probe:
                leaderboard.record(conn, result_of(session, test, self.machine, reference, self._data_dir))
                recorded = reading.entry(conn, test.run_key)
                stands = "" if recorded is None else standing.standing(recorded)
            had, budget = (*self._store.refunds(conn, session.id, but=test.n), test), session.task.budget
            if budget.gpu_hours is not None:
                used = standing.gpu_hours(test, gpu_hours_used(had), budget.gpu_hours)
            if session.confirms is not None:
                told = feedback.confirmed(test, session.confirms, session.size.seed)
            elif test.is_probe:
                told = feedback.probed(test, budget.probes, probes_left(session, had), used)
            else:
                told = feedback.tested(test, budget.tests, tests_left(session, had), (stands, used))
            self._store.finish(conn, replace(test, observation=told))
