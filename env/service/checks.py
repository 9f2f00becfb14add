"""What is wrong with the files, found before a test is spent: the fence lint, and the free rehearsal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from env.api.arguments import Arguments, CheckArguments
from env.api.refusal import Kind, Refusal
from env.api.tools import Checked, CheckResult, TurnedDown
from env.fence import FenceViolation, check_source
from env.lifecycle import feedback
from env.lifecycle.attempts import Ended
from env.lifecycle.rehearsals import Rehearsals
from env.service.access import Access
from env.service.call import Call
from env.service.live import LiveSession, LiveSessions
from env.service.refusals import no_scale, nothing_runs
from env.service.steps import Effect, Steps
from env.service.workspace import Workspace
from env.store.model import Status
from env.store.store import Store


def lint(live: LiveSession) -> None:
    """Raises FenceViolation."""
    workspace = live.workspace
    if live.linted is None or live.linted[0] is not workspace:
        live.linted = workspace, _violation(live, workspace)
    if live.linted[1] is not None:
        raise live.linted[1].with_traceback(None)


def _violation(live: LiveSession, workspace: Workspace) -> FenceViolation | None:
    try:
        for edited in workspace.documents.values():
            original = live.opened.documents.get(edited.filename)
            check_source(original, edited, override_keys=live.session.task.override_keys)
    except FenceViolation as violation:
        return violation
    return None


class Checks:
    def __init__(
        self,
        store: Store,
        live: LiveSessions,
        steps: Steps,
        rehearsals: Rehearsals,
        access: Access,
        trouble: Callable[[], str | None],
    ) -> None:
        """`trouble` says why nothing could be run at the moment; None where nothing is known to be wrong."""
        self._store = store
        self._live = live
        self._steps = steps
        self._rehearsals = rehearsals
        self._access = access
        self._trouble = trouble
        self._checking: set[str] = set()
        """The sessions whose rehearsal is under way."""
        self._linting = asyncio.Semaphore(1)

    async def lint_aside(self, call: Call[Arguments]) -> None:
        """Has the next `lint` of the session's files answer at once, as it takes up to some tenths of a second.

        Raises Refusal for a session that is not the caller's.
        """
        live = self._live.get(call.session_id)
        self._access.require_agent(call.bearer, live.session)
        workspace = live.workspace
        if live.submission is None and live.ending is None and (live.linted or (None,))[0] is not workspace:
            async with self._linting:
                live.linted = workspace, await asyncio.to_thread(_violation, live, workspace)

    async def check(self, call: Call[CheckArguments]) -> Checked | TurnedDown:
        """Rehearses the files as they are, which takes seconds. A session may have one such call at a time."""
        session_id = call.session_id
        await self.lint_aside(call)
        if session_id in self._checking:
            # No step and no answer to remember: the running check may have the same Idempotency-Key.
            raise Refusal(Kind.CONFLICT, "check_running", "A check is running already. Wait for its answer.")
        answer = self._steps.screen(call, Checked, self._admit)
        if answer is not None:
            return answer
        live = self._live.get(session_id)
        self._checking.add(session_id)
        try:
            ended = await self._rehearsals.rehearse(live.session, live.seq + 1, live.workspace.texts)
        finally:
            self._checking.discard(session_id)
        return self._steps.take(call, Checked, lambda live: self._told(live, ended))

    def _admit(self, live: LiveSession) -> Effect:
        if (why := self._trouble()) is not None:
            raise nothing_runs(why)
        session = live.session
        limit = session.task.budget.checks
        if session.scale is None:
            raise no_scale()
        if self._had(session.id) >= limit:
            raise Refusal(
                Kind.EXHAUSTED,
                "check_budget_exhausted",
                f"Check budget exhausted ({limit}/{limit}). You may still test.",
            )
        lint(live)
        return Effect(observation="", document=live.workspace.document(None))

    def _told(self, live: LiveSession, ended: Ended) -> Effect:
        judged = ended.judged
        if judged.status is Status.INFRA_FAILED:
            raise Refusal(
                Kind.CONFLICT,
                "check_failed_here",
                f"The check could not run, and was not counted: {judged.reason}.",
            )
        left = live.session.task.budget.checks - self._had(live.session.id) - 1
        passed = judged.status is Status.SUCCEEDED
        seconds = ended.state.elapsed_s or 0.0
        told = feedback.checked(passed, judged.reason, ended.output, judged.metrics, seconds, left)
        return Effect(
            observation=told,
            document=live.workspace.document(None),
            adds={"check": CheckResult(passed=passed, checks_remaining=left)},
        )

    def _had(self, session_id: str) -> int:
        with self._store.read() as conn:
            return self._store.checks(conn, session_id)
