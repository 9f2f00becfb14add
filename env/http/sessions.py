"""Sessions and their tools over HTTP."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response, StreamingResponse

from env.http import reads
from env.http.events import HEADERS, Listening, events_of
from env.http.headers import bearer, idempotency_key
from env.http.responses import JSON, answer_response, answers_with, download, json_response
from env.http.toolroute import ToolRoute
from env.service.call import A, Call
from env.service.opening import Wanted
from env.service.service import Service
from env.store.outage import OUTAGES
from ringfence.api import sessions as schema
from ringfence.api.arguments import (
    CancelArguments,
    CheckArguments,
    EditArguments,
    SubmitArguments,
    TestArguments,
    UndoArguments,
    ViewArguments,
)
from ringfence.api.refusal import Refused
from ringfence.api.tools import Checked, CheckUnderWay, Edited, LastCheck, Started, Submitted

REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Refused} for status in (400, 401, 403, 404, 409, 413, 422, 429)
}
MAX_WAIT_S = 60.0
Wait = Annotated[float, Query(ge=0, le=MAX_WAIT_S, description="Seconds to hold the answer, until the test is over.")]
CheckWait = Annotated[
    float, Query(ge=0, le=MAX_WAIT_S, description="Seconds to hold the answer, until the check is over.")
]
TestNumber = Annotated[int, Path(ge=1, le=1_000_000, description="The test's number, as in `[Test #n]`.")]


def call_of(request: Request, session_id: str, arguments: A) -> Call[A]:
    """The tool call that a request makes."""
    return Call(bearer=bearer(request), session_id=session_id, arguments=arguments, key=idempotency_key(request))


def sessions_router(service: Service) -> APIRouter:
    router = APIRouter(prefix="/v1/sessions", responses=REFUSALS, tags=["sessions"])
    quick = APIRouter(prefix=router.prefix, responses=REFUSALS, tags=["sessions"], route_class=ToolRoute)
    tools, checks, views, lifecycle = service.tools, service.checks, service.views, service.lifecycle
    listening = Listening()

    @router.post("", status_code=201, response_model=schema.Opened)
    async def open_session(body: schema.OpenSession, request: Request) -> Response:
        """Open a session on a task. The answer holds the prompt, the tools, the files and the bearer token."""
        wanted = Wanted(
            bearer=bearer(request),
            task=body.task,
            agent=body.agent,
            scale=body.scale,
            metadata=body.metadata,
            key=idempotency_key(request),
        )
        return json_response(service.opening.open_session(wanted), 201)

    @router.get("/{session_id}", response_model=schema.SessionView)
    async def read_session(session_id: str, request: Request) -> Response:
        """State, budget left, files, tests and submission."""
        return json_response(views.session(bearer(request), session_id))

    @router.get("/{session_id}/opening", response_model=schema.Opened)
    async def read_opening(session_id: str, request: Request) -> Response:
        """What opening the session was answered, once more: prompt, tools, and the files as they were then."""
        return json_response(service.opening.opened(bearer(request), session_id))

    @quick.post("/{session_id}/edit", response_model=Edited)
    async def edit(session_id: str, body: EditArguments, request: Request) -> Response:
        """Change the file inside its editable ranges."""
        return answer_response(tools.edit(call_of(request, session_id, body)))

    @quick.post("/{session_id}/view", response_model=Edited)
    async def view(session_id: str, request: Request, body: ViewArguments | None = None) -> Response:
        """Show the file with line numbers."""
        return answer_response(tools.view(call_of(request, session_id, body or ViewArguments())))

    @quick.post("/{session_id}/undo", response_model=Edited)
    async def undo(session_id: str, request: Request, body: UndoArguments | None = None) -> Response:
        """Take back the last edits."""
        return answer_response(tools.undo(call_of(request, session_id, body or UndoArguments())))

    @router.post("/{session_id}/check", response_model=Checked, responses={202: {"model": Checked}})
    async def check(
        session_id: str, request: Request, body: CheckArguments | None = None, wait: CheckWait = MAX_WAIT_S
    ) -> Response:
        """Rehearse the file on CPU at a tiny size, free of charge. Status 202 while it is under way."""
        answer = await checks.check(call_of(request, session_id, body or CheckArguments()), wait)
        running = isinstance(answer, Checked) and isinstance(answer.check, CheckUnderWay)
        return answer_response(answer, 202 if running else 200)

    @router.get("/{session_id}/check", response_model=LastCheck)
    async def read_check(session_id: str, request: Request, wait: CheckWait = 0) -> Response:
        """The check under way, or the last one that is over."""
        return json_response(await checks.last(bearer(request), session_id, wait))

    @router.post("/{session_id}/test", status_code=202, response_model=Started)
    async def test(session_id: str, request: Request, body: TestArguments | None = None, wait: Wait = 0) -> Response:
        """Spend a test on the file as it is. With `wait`, the answer may already hold the result."""
        call = call_of(request, session_id, body or TestArguments())
        await checks.before_a_test(call)
        answer = tools.test(call)
        if isinstance(answer, Started) and wait:
            n = answer.test.n
            with contextlib.suppress(*OUTAGES):  # the test is bought: what came of it can be asked for later
                await lifecycle.wait(session_id, n, wait)
                seen = await views.test_aside(bearer(request), session_id, n)
                return json_response(tools.progressed(answer, seen), 202)
        return answer_response(answer, 202)

    @router.get("/{session_id}/tests/{n}", response_model=schema.TestView)
    async def read_test(session_id: str, n: TestNumber, request: Request, wait: Wait = 0) -> Response:
        """Status, progress and result of a test."""
        token = bearer(request)
        if wait:
            views.news(token, session_id, n)  # refuses before the waiting begins
            await lifecycle.wait(session_id, n, wait)
        return json_response(await views.test_aside(token, session_id, n))

    @router.get(
        "/{session_id}/tests/{n}/events", response_class=StreamingResponse, responses=answers_with("text/event-stream")
    )
    async def events(session_id: str, n: TestNumber, request: Request) -> StreamingResponse:
        """Server-sent events: `status`, `metrics`, `progress` and `reset`, which voids points, then `result`."""
        token = bearer(request)
        views.news(token, session_id, n)  # refuses before the stream begins
        told = events_of(service, listening, token, session_id, n)
        return StreamingResponse(told, headers=HEADERS, media_type="text/event-stream")

    @router.post("/{session_id}/tests/{n}/cancel", response_model=schema.TestView)
    async def cancel(session_id: str, n: TestNumber, request: Request, wait: Wait = 10) -> Response:
        """Stop a test and free its devices. A test that was still queued is refunded."""
        service.cancelling.cancel(call_of(request, session_id, CancelArguments(n=n)))
        await lifecycle.wait(session_id, n, wait)
        return json_response(await views.test_aside(bearer(request), session_id, n))

    @router.post("/{session_id}/close", response_model=schema.SessionView)
    async def close(session_id: str, request: Request) -> Response:
        """For operators: end an open session now. Its best result is submitted for it, if it has any."""
        service.access.require_operator(bearer(request))
        service.closing.close_now(session_id, "an operator closed it")
        return json_response(views.session(bearer(request), session_id))

    @router.post("/{session_id}/confirm", status_code=202, response_model=schema.Confirmations)
    async def confirm(session_id: str, body: schema.ConfirmSession, request: Request) -> Response:
        """For operators: run what the session submitted again at further seeds, at no cost to its agent."""
        service.access.require_operator(bearer(request))
        return json_response(service.confirming.confirm(session_id, body.seeds, yes=body.yes), 202)

    @quick.post("/{session_id}/submit", response_model=Submitted)
    async def submit(session_id: str, body: SubmitArguments, request: Request) -> Response:
        """Make a test's result the final answer. Closes the session."""
        return answer_response(tools.submit(call_of(request, session_id, body)))

    @router.get("/{session_id}/trajectory", response_model=schema.TrajectoryView)
    async def trajectory(session_id: str, request: Request) -> Response:
        """Every step with its tool, input, observation and time, and the final files."""
        whole, last = views.trajectory(bearer(request), session_id)
        return await download(service.reads, JSON, reads.trajectory, whole, last)

    # First those that are called most: routes are tried in order.
    router.routes[:0] = quick.routes
    return router
