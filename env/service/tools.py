"""The tools of a session: edit, view, undo, test, submit."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection

from env.document import current_file, ranges_text, view
from env.lifecycle import feedback
from env.lifecycle.loop import Lifecycle
from env.service.call import Call
from env.service.cancelling import Cancelling
from env.service.checks import lint
from env.service.edits import carry_out
from env.service.live import LiveSession, LiveSessions
from env.service.refusals import no_results, no_scale, nothing_runs
from env.service.steps import Effect, Steps
from env.store.model import MAX_INFRA_FAILURES, Session, Status, Submission, Test, failed_by_us, tests_left
from env.store.outage import OUTAGES
from env.store.store import Store
from leaderboard import writing as leaderboard
from ringfence.api.arguments import (
    EditArguments,
    SubmitArguments,
    TestArguments,
    UndoArguments,
    ViewArguments,
)
from ringfence.api.refusal import Kind, Refusal
from ringfence.api.sessions import TestView
from ringfence.api.tools import Edited, QueuedTest, Started, Submitted, SubmittedTest, TurnedDown

RESULT_OVER_HTTP = "GET /v1/sessions/{session}/tests/{n}?wait=60"


class SessionTools:
    """What each tool does with a session; the way of the call around it is that of `Steps`."""

    def __init__(
        self,
        store: Store,
        live: LiveSessions,
        steps: Steps,
        lifecycle: Lifecycle,
        cancelling: Cancelling,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._live = live
        self._steps = steps
        self._lifecycle = lifecycle
        self._cancelling = cancelling
        self._clock = clock

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

        def act(live: LiveSession) -> Effect:
            session, workspace = live.session, live.workspace
            if (why := self._lifecycle.trouble) is not None:
                raise nothing_runs(why)
            with self._store.read() as conn:
                earlier = self._store.tests(conn, session.id)
            left = self._check_testable(session, earlier) - 1
            lint(live)
            n = len(earlier) + 1
            test = Test(
                session_id=session.id, n=n, status=Status.QUEUED, files=workspace.texts, created_at=self._clock()
            )
            return Effect(
                observation=feedback.queued(n, left, result_call.format(session=session.id, n=n)),
                document=workspace.document(None),
                test=n,
                write=lambda conn: self._store.add_test(conn, test),
                adds={"test": QueuedTest(n=n, status=test.status.value, tests_remaining=left)},
            )

        answer = self._steps.take(call, Started, act)
        self._lifecycle.wake()
        return answer

    def _check_testable(self, session: Session, earlier: list[Test]) -> int:
        """How many tests are left, at least one; or the refusal that says why this one can't be had."""
        left = tests_left(session, earlier)
        if session.scale is None:
            raise no_scale()
        if not self._lifecycle.can_run(session):
            raise Refusal(
                Kind.CONFLICT,
                "no_devices",
                f"Scale {session.scale} needs {session.size.world_size} GPUs, which this service "
                "does not have. Open a session with another scale.",
            )
        if failed_by_us(earlier) >= MAX_INFRA_FAILURES:
            raise Refusal(
                Kind.EXHAUSTED,
                "refunds_exhausted",
                f"{MAX_INFRA_FAILURES} tests of this session failed for reasons of the service, which is the most that "
                "are refunded: it can test no more. You may submit a result it has, or open another session.",
            )
        if left <= 0:
            limit = session.task.budget.tests
            used = limit - left
            raise Refusal(
                Kind.EXHAUSTED,
                "test_budget_exhausted",
                f"Test budget exhausted ({used}/{limit}). You MUST call submit(n=N) to choose which test result to "
                "submit.",
            )
        running = next((test for test in earlier if not test.status.final), None)
        if running is not None:
            raise Refusal(
                Kind.CONFLICT,
                "test_running",
                f"Test #{running.n} is {running.status.value}. Wait for its result, or cancel it first.",
            )
        return left

    def submit(self, call: Call[SubmitArguments]) -> Submitted | TurnedDown:
        def act(live: LiveSession) -> Effect:
            session_id = live.session.id
            with self._store.read() as conn:
                tests = self._store.tests(conn, session_id)
            test = _submittable(tests, call.arguments.n)
            submission = Submission(test=test.n, at=self._clock())
            unfinished = next((one for one in tests if not one.status.final), None)

            def write(conn: Connection) -> None:
                if unfinished is not None:
                    self._store.request_cancel(conn, unfinished)
                self._store.submit(conn, session_id, submission)
                leaderboard.submit(conn, session_id, test.run_key, submission.at)

            return Effect(
                observation=feedback.submitted(test, None if unfinished is None else unfinished.n),
                document=live.workspace.document(None),
                test=test.n,
                write=write,
                adds={"submission": SubmittedTest(n=test.n, status=test.status.value)},
            )

        answer = self._steps.take(call, Submitted, act)
        if isinstance(answer, Submitted):
            self._live.drop(call.session_id)  # read again, with its submission
            with contextlib.suppress(*OUTAGES):  # that it is to stop is committed
                self._cancelling.stop_all(call.session_id)
        return answer

    @staticmethod
    def progressed(answer: Started, test: TestView) -> Started:
        """The answer to a test call after waiting: what the test shows now, with the feedback if it is over."""
        told = answer.observation if test.observation is None else test.observation
        return answer.model_copy(update={"test": test, "observation": told})


def _submittable(tests: list[Test], n: int) -> Test:
    ready = [test for test in tests if test.status.final and not test.refunded]
    if not ready:
        running = next((test for test in tests if not test.status.final), None)
        if running is not None:
            raise Refusal(
                Kind.CONFLICT,
                "test_running",
                f"Test #{running.n} is {running.status.value}. Wait for its result.",
            )
        raise no_results()
    found = next((test for test in ready if test.n == n), None)
    if found is None:
        known = ", ".join(f"#{test.n}" for test in ready)
        raise Refusal(Kind.INVALID, "unknown_test", f"There is no result of a test #{n}. You may submit {known}.")
    return found
