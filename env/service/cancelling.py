"""Tests that are stopped: one by its caller, or all of a session that is closed."""

from __future__ import annotations

import contextlib

from env.lifecycle import feedback
from env.lifecycle.loop import Lifecycle
from env.service.access import Access
from env.service.call import Call
from env.service.live import LiveSessions
from env.service.refusals import unknown_test
from env.service.steps import Effect, Steps
from env.store.keys import key_of_probe
from env.store.outage import OUTAGES
from env.store.store import Store
from ringfence.api.arguments import CancelArguments, CancelProbeArguments
from ringfence.api.refusal import Kind, Refusal


class Cancelling:
    def __init__(self, store: Store, live: LiveSessions, steps: Steps, lifecycle: Lifecycle, access: Access) -> None:
        self._store = store
        self._live = live
        self._steps = steps
        self._lifecycle = lifecycle
        self._access = access

    def cancel(self, call: Call[CancelArguments]) -> None:
        """Stops a test or a probe. One that waits is refunded; one that runs is spent. A step, unless it is refused or
        the same call was made before under its key. Raises Refusal.
        """
        live, n = self._live.get(call.session_id), call.arguments.n
        if isinstance(call.arguments, CancelProbeArguments):
            n = key_of_probe(n)
        self._access.require_reader(call.bearer, live.session)
        if self._steps.given_before(call):
            return
        with self._store.begin() as conn:
            test = self._store.test(conn, call.session_id, n)
        if test is None:
            raise unknown_test(call.session_id, n)
        if test.status.final:
            raise Refusal(Kind.CONFLICT, "test_over", f"{test.name} is over already: {test.status.value}.")
        by = "an operator" if self._access.is_operator(call.bearer) else "its agent"
        effect = Effect(
            observation=feedback.cancelling(test, by),
            document=live.workspace.document(None),
            test=n,
            write=lambda conn: self._store.request_cancel(conn, test),
        )
        self._steps.note(call, effect)
        with contextlib.suppress(*OUTAGES):  # that it is to stop is committed
            self._lifecycle.cancel(live.session, test)

    def stop_all(self, session_id: str) -> None:
        """Stops whatever test of the session is not over. Raises what the database raises."""
        session = self._live.get(session_id).session
        with self._store.begin() as conn:
            tests = self._store.tests(conn, session_id)
        for test in tests:
            if not test.status.final:
                self._lifecycle.cancel(session, test)
