"""The tools of a session: edit, view, undo, test, submit; and cancel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine

from env.api.arguments import (
    CheckArguments,
    EditArguments,
    SubmitArguments,
    TestArguments,
    UndoArguments,
    ViewArguments,
)
from env.api.refusal import Kind, Refusal
from env.document import apply, current_file, ranges_text, view
from env.lifecycle import feedback
from env.lifecycle.loop import Lifecycle
from env.service.access import Access
from env.service.answer import Answer
from env.service.checks import Checks, lint
from env.service.edits import operation
from env.service.live import LiveSession, LiveSessions
from env.service.shapes import no_scale, unknown_test
from env.service.steps import Effect, Steps
from env.store.model import Session, Status, Submission, Test
from env.store.store import Store
from leaderboard import writing as leaderboard

RESULT_OVER_HTTP = "GET /v1/sessions/{session}/tests/{n}?wait=60"


class Tools:
    def __init__(
        self,
        engine: Engine,
        store: Store,
        live: LiveSessions,
        steps: Steps,
        lifecycle: Lifecycle,
        checks: Checks,
        access: Access,
        clock: Callable[[], datetime],
    ) -> None:
        self._engine = engine
        self._store = store
        self._live = live
        self._steps = steps
        self._lifecycle = lifecycle
        self._access = access
        self._clock = clock
        self._checks = checks

    def edit(self, bearer: str | None, session_id: str, arguments: EditArguments, key: str | None) -> Answer:
        def act(live: LiveSession) -> Effect:
            task, workspace = live.session.task, live.workspace
            op = operation(arguments)
            if op is None:
                if not task.allow_create:
                    raise Refusal(
                        Kind.FORBIDDEN,
                        "create_not_allowed",
                        f"op=create is not allowed in this task. You may only edit {', '.join(workspace.documents)}.",
                    )
                changed = workspace.with_created(arguments.filename or "", arguments.content or "", task.max_file_bytes)
                document = list(changed.documents.values())[-1]
                what = f"Created {document.filename} with {document.total_lines} line(s)"
            else:
                applied = apply(workspace.document(arguments.filename), op, max_bytes=task.max_file_bytes)
                document = applied.document
                changed = workspace.with_document(document)
                what = f"{applied.what} in {document.filename}"
            observation = f"OK: {what}. Editable range: {ranges_text(document)}.\n\n{current_file(document)}"
            return Effect(observation, document, changed)

        return self._steps.take(bearer, session_id, "edit", arguments.model_dump(exclude_none=True), key, act)

    def view(self, bearer: str | None, session_id: str, arguments: ViewArguments, key: str | None) -> Answer:
        def act(live: LiveSession) -> Effect:
            document = live.workspace.document(arguments.filename)
            return Effect(view(document, arguments.start_line, arguments.end_line), document)

        return self._steps.take(bearer, session_id, "view", arguments.model_dump(exclude_none=True), key, act)

    def undo(self, bearer: str | None, session_id: str, arguments: UndoArguments, key: str | None) -> Answer:
        def act(live: LiveSession) -> Effect:
            possible = len(live.history) - 1
            if not 1 <= arguments.n <= possible:
                allowed = f"n may be 1 to {possible}" if possible else "there is no edit to undo"
                raise Refusal(Kind.CONFLICT, "cannot_undo", f"Cannot undo {arguments.n} edit(s): {allowed}.")
            before, after = live.workspace, live.history[-1 - arguments.n]
            changed = [path for path in before.documents if before.documents[path] != after.documents.get(path)]
            document = after.documents.get(changed[-1] if changed else "") or after.document(None)
            observation = (
                f"OK: Undid {arguments.n} edit(s) in {', '.join(changed) or document.filename}. "
                f"Editable range: {ranges_text(document)}.\n\n{current_file(document)}"
            )
            return Effect(observation, document, undone=arguments.n)

        return self._steps.take(bearer, session_id, "undo", arguments.model_dump(), key, act)

    async def check(self, bearer: str | None, session_id: str, arguments: CheckArguments, key: str | None) -> Answer:
        return await self._checks.check(bearer, session_id, arguments, key)

    def test(
        self,
        bearer: str | None,
        session_id: str,
        arguments: TestArguments,
        key: str | None,
        result_call: str = RESULT_OVER_HTTP,
    ) -> Answer:
        """`result_call` tells the agent how to ask for the result; it may name the `{session}` and the test's `{n}`."""

        def act(live: LiveSession) -> Effect:
            session, workspace = live.session, live.workspace
            document = workspace.document(None)
            with self._engine.begin() as conn:
                earlier = self._store.tests(conn, session.id)
            left = self._check_testable(session, earlier)
            lint(live)
            n = len(earlier) + 1
            test = Test(
                session_id=session.id, n=n, status=Status.QUEUED, files=workspace.texts, created_at=self._clock()
            )
            return Effect(
                feedback.queued(n, left - 1, result_call.format(session=session.id, n=n)),
                document,
                test=n,
                write=lambda conn: self._store.add_test(conn, test),
                fields={"test": {"n": n, "status": test.status.value, "tests_remaining": left - 1}},
            )

        answer = self._steps.take(bearer, session_id, "test", arguments.model_dump(), key, act)
        self._lifecycle.wake()
        return answer

    def _check_testable(self, session: Session, earlier: list[Test]) -> int:
        """How many tests are left, at least one; or the refusal that says why this one can't be had."""
        limit = session.task.budget.tests
        used = sum(not test.refunded for test in earlier)
        if session.scale is None:
            raise no_scale()
        if not self._lifecycle.can_run(session):
            raise Refusal(
                Kind.CONFLICT,
                "no_devices",
                f"Scale {session.scale} needs {session.size.world_size} GPUs, which this service "
                "does not have. Open a session with another scale.",
            )
        if used >= limit:
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
        return limit - used

    def submit(self, bearer: str | None, session_id: str, arguments: SubmitArguments, key: str | None) -> Answer:
        def act(live: LiveSession) -> Effect:
            with self._engine.begin() as conn:
                tests = self._store.tests(conn, session_id)
            test = _submittable(tests, arguments.n)
            submission = Submission(test=test.n, at=self._clock())

            def write(conn: Connection) -> None:
                self._store.submit(conn, session_id, submission)
                leaderboard.submit(conn, session_id, test.run_key, submission.at)

            return Effect(
                feedback.submitted(test),
                live.workspace.document(None),
                test=test.n,
                write=write,
                fields={"submission": {"n": test.n, "status": test.status.value}},
            )

        answer = self._steps.take(bearer, session_id, "submit", arguments.model_dump(), key, act)
        if answer.kind is None:
            with self._engine.begin() as conn:
                self._live.get(session_id).submission = self._store.submission(conn, session_id)
        return answer

    @staticmethod
    def progressed(answer: Answer, test: Mapping[str, Any]) -> Answer:
        """The answer to a test call after waiting: what the test shows now, with the feedback if it is over."""
        body = {**answer.body, "test": test}
        if test["observation"] is not None:
            body["observation"] = test["observation"]
        return Answer(body)

    def cancel(self, bearer: str | None, session_id: str, n: int) -> None:
        """Stop a test. One that waits is refunded; one that runs is spent."""
        live = self._live.get(session_id)
        self._access.require_reader(bearer, live.session)
        with self._engine.begin() as conn:
            test = self._store.test(conn, session_id, n)
        if test is None:
            raise unknown_test(session_id, n)
        if test.status.final:
            raise Refusal(Kind.CONFLICT, "test_over", f"Test #{n} is over already: {test.status.value}.")
        self._lifecycle.cancel(live.session, test)


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
        raise Refusal(Kind.CONFLICT, "no_results", "No test results yet. Run test() at least once first.")
    found = next((test for test in ready if test.n == n), None)
    if found is None:
        known = ", ".join(f"#{test.n}" for test in ready)
        raise Refusal(Kind.INVALID, "unknown_test", f"There is no result of a test #{n}. You may submit {known}.")
    return found
