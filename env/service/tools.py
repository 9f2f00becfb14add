"""The tools of a session: edit, view, undo, probe, test, submit."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection

from env.document import current_file, ranges_text, view
from env.lifecycle import feedback
from env.lifecycle.loop import Lifecycle
from env.service.buying import Buying
from env.service.call import Call
from env.service.cancelling import Cancelling
from env.service.comparisons import comparison_view
from env.service.confirming import Confirming
from env.service.edits import carry_out
from env.service.live import LiveSession, LiveSessions
from env.service.refusals import no_results
from env.service.steps import Effect, Steps
from env.store.model import Submission, Test
from env.store.outage import OUTAGES
from env.store.store import Store
from leaderboard import writing as leaderboard
from leaderboard.comparing import comparison_of
from leaderboard.comparison import headline
from ringfence.api.arguments import (
    EditArguments,
    ProbeArguments,
    SubmitArguments,
    TestArguments,
    UndoArguments,
    ViewArguments,
)
from ringfence.api.refusal import Kind, Refusal
from ringfence.api.sessions import TestView
from ringfence.api.tools import Edited, Probed, Started, Submitted, SubmittedTest, TurnedDown

RESULT_OVER_HTTP = "GET /v1/sessions/{session}/tests/{n}?wait=60"
PROBE_OVER_HTTP = "GET /v1/sessions/{session}/probes/{n}?wait=60"
B = TypeVar("B", Started, Probed)


class SessionTools:
    """What each tool does with a session; the way of the call around it is that of `Steps`."""

    def __init__(
        self,
        store: Store,
        live: LiveSessions,
        steps: Steps,
        lifecycle: Lifecycle,
        cancelling: Cancelling,
        buying: Buying,
        clock: Callable[[], datetime],
        confirming: Confirming,
    ) -> None:
        self._store = store
        self._live = live
        self._steps = steps
        self._lifecycle = lifecycle
        self._cancelling = cancelling
        self._buying = buying
        self._clock = clock
        self._confirming = confirming

    def edit(self, call: Call[EditArguments]) -> Edited | TurnedDown:
        def act(live: LiveSession) -> Effect:
            done = carry_out(call.arguments, live)
            document = done.document
            observation = (
                f"OK: {done.what}. Editable range: {ranges_text(document)}.\n\n{current_file(document)}{done.note}"
            )
            return Effect(observation=observation, document=document, workspace=done.workspace)

        return self._steps.take(call, Edited, act)

    def view(self, call: Call[ViewArguments]) -> Edited | TurnedDown:
        def act(live: LiveSession) -> Effect:
            document = live.workspace.document(call.arguments.filename)
            shown = view(document, call.arguments.start_line, call.arguments.end_line)
            first = call.arguments.start_line or 1
            live.seen[document.filename].show(document.lines[first - 1 : call.arguments.end_line], first)
            return Effect(observation=shown, document=document)

        return self._steps.take(call, Edited, act)

    def undo(self, call: Call[UndoArguments]) -> Edited | TurnedDown:
        def act(live: LiveSession) -> Effect:
            n, possible = call.arguments.n, live.edits
            if not 1 <= n <= possible:
                allowed = f"n may be 1 to {possible}" if possible else "there is no edit to undo"
                raise Refusal(Kind.CONFLICT, "cannot_undo", f"Cannot undo {n} edit(s): {allowed}.")
            before, after = live.workspace, self._live.before(live, n)
            changed = [path for path in before.documents if before.documents[path] != after.documents.get(path)]
            document = after.documents.get(changed[-1] if changed else "") or after.document(None)
            live.seen[document.filename].show_excerpt(document)
            observation = (
                f"OK: Undid {n} edit(s) in {', '.join(changed) or document.filename}. "
                f"Editable range: {ranges_text(document)}.\n\n{current_file(document)}"
            )
            return Effect(observation=observation, document=document, workspace=after, undone=n)

        return self._steps.take(call, Edited, act)

    def test(self, call: Call[TestArguments], result_call: str = RESULT_OVER_HTTP) -> Started | TurnedDown:
        """`result_call` tells the agent how to ask for the result; it may name the `{session}` and the test's `{n}`."""
        answer = self._steps.take(call, Started, lambda live: self._buying.buy(live, result_call, probe=False))
        self._lifecycle.wake()
        return answer

    def probe(self, call: Call[ProbeArguments], result_call: str = PROBE_OVER_HTTP) -> Probed | TurnedDown:
        """As `test`, at the proxy of the session's scale and of a budget of its own."""
        answer = self._steps.take(call, Probed, lambda live: self._buying.buy(live, result_call, probe=True))
        self._lifecycle.wake()
        return answer

    def submit(self, call: Call[SubmitArguments]) -> Submitted | TurnedDown:
        def act(live: LiveSession) -> Effect:
            session_id = live.session.id
            with self._store.read() as conn:
                tests = self._store.tests(conn, session_id)
                test = _submittable(tests, call.arguments.n)
                compared = comparison_of(conn, test.run_key)
                further = self._confirming.planned(conn, live.session, test)
            submission = Submission(test=test.n, at=self._clock())
            unfinished = next((one for one in tests if not one.status.final), None)

            def write(conn: Connection) -> None:
                if unfinished is not None:
                    self._store.request_cancel(conn, unfinished)
                self._store.submit(conn, session_id, submission)
                leaderboard.submit(conn, session_id, test.run_key, submission.at)
                self._confirming.queue(conn, live.session, test, further)

            standing = feedback.standing(None if compared is None else headline(compared), further)
            return Effect(
                observation=feedback.submitted(test, None if unfinished is None else unfinished.n, standing),
                document=live.workspace.document(None),
                test=test.n,
                write=write,
                adds={
                    "submission": SubmittedTest(
                        n=test.n,
                        status=test.status.value,
                        comparison=comparison_view(compared),
                        confirmed_at=tuple(further),
                    )
                },
            )

        answer = self._steps.take(call, Submitted, act)
        if isinstance(answer, Submitted):
            self._lifecycle.wake()
            self._live.drop(call.session_id)  # read again, with its submission
            with contextlib.suppress(*OUTAGES):  # that it is to stop is committed
                self._cancelling.stop_all(call.session_id)
        return answer

    @staticmethod
    def progressed(answer: B, seen: TestView) -> B:
        """The answer to a `test` or `probe` call after waiting: what it shows now, with the feedback if it is over."""
        told = answer.observation if seen.observation is None else seen.observation
        return answer.model_copy(update={seen.kind: seen, "observation": told})


def _submittable(tests: list[Test], n: int) -> Test:
    ready = [test for test in tests if test.status.final and not test.refunded and not test.is_probe]
    if not ready:
        running = next((test for test in tests if not test.status.final and not test.is_probe), None)
        if running is not None:
            raise Refusal(
                Kind.CONFLICT,
                "test_running",
                f"Test #{running.n} is {running.status.value}. Wait for its result.",
            )
        raise no_results(probed=any(test.is_probe for test in tests))
    found = next((test for test in ready if test.n == n), None)
    if found is None:
        known = ", ".join(f"#{test.n}" for test in ready)
        raise Refusal(Kind.INVALID, "unknown_test", f"There is no result of a test #{n}. You may submit {known}.")
    return found
