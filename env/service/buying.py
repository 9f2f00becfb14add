"""A test or a probe is bought: what has to hold, and what is committed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from env.lifecycle import feedback
from env.lifecycle.loop import Lifecycle
from env.service.checks import lint
from env.service.foresight import Foresight
from env.service.live import LiveSession
from env.service.refusals import cannot_run, no_proxy, no_scale, nothing_runs, probes_spent, tests_spent
from env.service.steps import Effect
from env.store.budget import MAX_INFRA_FAILURES, failed_by_us, gpu_hours_used, probes_left, tests_left
from env.store.keys import key_of_probe
from env.store.model import Session, Status, Test
from env.store.store import Store
from env.store.unfinished import unfinished
from ringfence.api.base import Body
from ringfence.api.refusal import Kind, Refusal
from ringfence.api.tools import QueuedProbe, QueuedTest
from tasks.model import Scale


class Buying:
    """Turns down what cannot be had, and puts the rest into the queue."""

    def __init__(
        self,
        store: Store,
        lifecycle: Lifecycle,
        foresight: Foresight,
        lacks: Callable[[Scale], str | None],
        clock: Callable[[], datetime],
    ) -> None:
        """`lacks` says what is missing here to run tests at a scale."""
        self._store = store
        self._lifecycle = lifecycle
        self._foresight = foresight
        self._lacks = lacks
        self._clock = clock

    def buy(self, live: LiveSession, result_call: str, *, probe: bool) -> Effect:
        """What the call does that buys a test, or a probe, of the files as they are. Raises Refusal."""
        session, workspace = live.session, live.workspace
        if (why := self._lifecycle.trouble) is not None:
            raise nothing_runs(why)
        with self._store.read() as conn:
            earlier = self._store.tests(conn, session.id)
            waiting = sum(one.status is Status.QUEUED and one.confirms is None for one in unfinished(conn))
        left = self._check_testable(session, earlier, probe=probe) - 1
        lint(live)
        self._foresight.refuse(live, probe=probe)
        number = sum(test.is_probe == probe for test in earlier) + 1
        test = Test(
            session_id=session.id,
            n=key_of_probe(number) if probe else number,
            status=Status.QUEUED,
            files=workspace.texts,
            created_at=self._clock(),
        )
        status = test.status.value
        adds: Mapping[str, Body] = {"test": QueuedTest(n=number, status=status, tests_remaining=left)}
        if probe:
            adds = {"probe": QueuedProbe(n=number, status=status, probes_remaining=left)}
        return Effect(
            observation=feedback.queued(test, left, result_call.format(session=session.id, n=number), waiting),
            document=workspace.document(None),
            test=test.n,
            write=lambda conn: self._store.add_test(conn, test),
            adds=adds,
        )

    def _check_testable(self, session: Session, earlier: list[Test], *, probe: bool) -> int:
        """How many tests, or probes, are left, at least one; or the refusal that says why this one can't be had."""
        if session.scale is None:
            raise no_scale()
        scale = session.proxy if probe else session.size
        if scale is None:
            raise no_proxy(session)
        left = (probes_left if probe else tests_left)(session, earlier)
        if (lack := self._lacks(scale)) is not None:
            raise cannot_run(scale.name, lack)
        if failed_by_us(earlier) >= MAX_INFRA_FAILURES:
            raise Refusal(
                Kind.EXHAUSTED,
                "refunds_exhausted",
                f"{MAX_INFRA_FAILURES} tests of this session failed for reasons of the service, which is the most that "
                "are refunded: it can test no more. You may submit a result it has, or open another session.",
            )
        hours = session.task.budget.gpu_hours
        if hours is not None and (hours_used := gpu_hours_used(earlier)) >= hours:
            raise Refusal(
                Kind.EXHAUSTED,
                "gpu_budget_exhausted",
                f"GPU budget exhausted ({hours_used:.2f} of {hours:g} GPU hours used). You MUST call submit(n=N) to "
                "choose which test result to submit.",
            )
        if left <= 0:
            raise probes_spent(session) if probe else tests_spent(session.task.budget.tests, left)
        running = next((test for test in earlier if not test.status.final), None)
        if running is not None:
            raise Refusal(
                Kind.CONFLICT,
                "probe_running" if running.is_probe else "test_running",
                f"{running.name} is {running.status.value}. Wait for its result, or cancel it first.",
            )
        return left
