"""What is wrong with the files, found before a test is spent: the fence lint, and the free rehearsal."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from env.fence import FenceViolation, check_source
from env.lifecycle import feedback
from env.lifecycle.question import cost_growth_note
from env.lifecycle.rehearsals import Rehearsal, Rehearsals
from env.service.access import Access
from env.service.call import Call
from env.service.foresight import Foresight
from env.service.live import LiveSession, LiveSessions
from env.service.refusals import no_scale, nothing_runs
from env.service.steps import Effect, Steps
from env.service.workspace import Workspace
from env.store.outage import until_committed
from env.store.store import Store
from env.store.trajectory import last_step
from ringfence.api.arguments import Arguments, CheckArguments, ProbeArguments, TestArguments
from ringfence.api.refusal import Kind, Refusal
from ringfence.api.tools import Checked, CheckResult, CheckUnderWay, LastCheck, TurnedDown

log = logging.getLogger("ringfence.service")

CHECK_OVER_HTTP = "GET /v1/sessions/{session}/check?wait=60"


@dataclass(frozen=True)
class _Job:
    """A rehearsal under way."""

    key: str | None
    """The Idempotency-Key of the call that started it."""
    task: asyncio.Task[Checked | TurnedDown]


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
    """Rehearses a session's files at its agent's call, and keeps count of how often."""

    def __init__(
        self,
        store: Store,
        live: LiveSessions,
        steps: Steps,
        rehearsals: Rehearsals,
        foresight: Foresight,
        access: Access,
        trouble: Callable[[], str | None],
    ) -> None:
        """`trouble` says why nothing could be run at the moment; None where nothing is known to be wrong."""
        self._store = store
        self._live = live
        self._steps = steps
        self._rehearsals = rehearsals
        self._foresight = foresight
        self._access = access
        self._trouble = trouble
        self._jobs: dict[str, _Job] = {}
        """By session, the rehearsals that are under way."""
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

    async def before_a_test(self, call: Call[TestArguments] | Call[ProbeArguments]) -> None:
        """Has the next call of `test`, or of `probe`, know what is wrong with the files. Raises Refusal."""
        await self.lint_aside(call)
        job = self._jobs.get(call.session_id)
        await self._foresight.look(call, None if job is None else job.task)

    async def check(
        self, call: Call[CheckArguments], wait_s: float, result_call: str = CHECK_OVER_HTTP
    ) -> Checked | TurnedDown:
        """Rehearses the files as they are. The answer is given once it is known, or `wait_s` seconds have passed.

        A session may have one rehearsal at a time. It goes on whether or not its caller still listens. The same call
        under the same key joins it. `result_call` tells how to ask for the result, and may name the `{session}`.
        """
        session_id = call.session_id
        await self.lint_aside(call)
        job = self._jobs.get(session_id)
        if job is None:
            answer = self._steps.screen(call, Checked, self._admit)
            if answer is not None:
                return answer
            job = self._start(call)
        elif call.key is None or call.key != job.key:
            # No step and no answer to remember.
            raise Refusal(Kind.CONFLICT, "check_running", "A check is running already. Wait for its answer.")
        await asyncio.wait([job.task], timeout=wait_s)
        if job.task.done():
            return job.task.result()
        return self._under_way(session_id, result_call)

    async def last(
        self, bearer: str | None, session_id: str, wait_s: float, result_call: str = CHECK_OVER_HTTP
    ) -> LastCheck:
        """The check that is under way, once it is over or `wait_s` seconds have passed; else the last one. No step."""
        self._access.require_reader(bearer, self._live.get(session_id).session)
        job = self._jobs.get(session_id)
        if job is not None:
            await asyncio.wait([job.task], timeout=wait_s)
            if not job.task.done():
                seen = self._under_way(session_id, result_call)
                return LastCheck(ok=True, observation=seen.observation, code=None, check=seen.check)
        with self._store.begin() as conn:
            step = last_step(conn, session_id, "check")
        if step is None:
            raise Refusal(Kind.NOT_FOUND, "no_check", "There was no check in this session yet. Call check first.")
        result = None
        if step.ok:
            passed = feedback.check_passed(step.observation)
            result = CheckResult(passed=passed, checks_remaining=self._left(session_id))
        return LastCheck(ok=step.ok, observation=step.observation, code=step.code, check=result)

    def _start(self, call: Call[CheckArguments]) -> _Job:
        session_id = call.session_id
        job = self._jobs[session_id] = _Job(call.key, asyncio.create_task(self._rehearse(call)))

        def over(task: asyncio.Task[Checked | TurnedDown]) -> None:
            del self._jobs[session_id]
            if not task.cancelled() and (error := task.exception()) and not isinstance(error, Refusal):
                log.error("the check of session %s broke down", session_id, exc_info=error)

        job.task.add_done_callback(over)
        return job

    async def _rehearse(self, call: Call[CheckArguments]) -> Checked | TurnedDown:
        live = self._live.get(call.session_id)
        files = live.workspace.texts
        over = await self._rehearsals.rehearse(live.session, live.seq + 1, files)
        self._foresight.remember(call.session_id, files, live.session.size, over)
        return await until_committed(
            f"the check of session {call.session_id}",
            lambda: self._steps.take(call, Checked, lambda live: self._told(live, over)),
        )

    def _under_way(self, session_id: str, result_call: str) -> Checked:
        live, left = self._live.get(session_id), self._left(session_id)
        document = live.workspace.document(None)
        return Checked(
            ok=True,
            observation=feedback.checking(left, result_call.format(session=session_id)),
            editable=document.ranges,
            total_lines=document.total_lines,
            revision=live.revision,
            check=CheckUnderWay(status="running", checks_remaining=left),
        )

    def _admit(self, live: LiveSession) -> Effect:
        if (why := self._trouble()) is not None:
            raise nothing_runs(why)
        session = live.session
        limit = session.task.budget.checks
        if session.scale is None:
            raise no_scale()
        if self._left(session.id) <= 0:
            raise Refusal(
                Kind.EXHAUSTED,
                "check_budget_exhausted",
                f"Check budget exhausted ({limit}/{limit}). You may still test.",
            )
        lint(live)
        return Effect(observation="", document=live.workspace.document(None))

    def _told(self, live: LiveSession, over: Rehearsal) -> Effect:
        if over.ours:
            raise Refusal(
                Kind.CONFLICT, "check_failed_here", f"The check could not run, and was not counted: {over.why_none}."
            )
        left = self._left(live.session.id) - 1
        document = live.workspace.document(None)
        told = feedback.checked(over, document.text, live.session.size.max_parameters, left)
        growth = over.rehearsed.cost_growth if over.passed and over.rehearsed is not None else None
        return Effect(
            observation="\n".join(filter(None, (told, cost_growth_note(growth)))),
            document=document,
            adds={"check": CheckResult(passed=over.passed, checks_remaining=left)},
        )

    def _left(self, session_id: str) -> int:
        with self._store.read() as conn:
            return self._live.get(session_id).session.task.budget.checks - self._store.checks(conn, session_id)
