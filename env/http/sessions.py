"""Sessions and their tools over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response, StreamingResponse

from env.api import sessions as schema
from env.api.arguments import (
    CheckArguments,
    EditArguments,
    SubmitArguments,
    TestArguments,
    UndoArguments,
    ViewArguments,
)
from env.api.refusal import Refused
from env.api.tools import Checked, Edited, Started, Submitted, TestTicket
from env.http.headers import bearer, idempotency_key
from env.http.responses import AGAIN_S, answer_response, answers_with, download, json_pieces, json_response
from env.http.toolroute import ToolRoute
from env.service.call import A, Call
from env.service.opening import Wanted
from env.service.service import Service
from env.store.outage import OUTAGES

KEEP_ALIVE_S = 15.0
POINTS_AT_ONCE = 100
_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Refused} for status in (400, 401, 403, 404, 409, 413, 422, 429)
}
Wait = Annotated[float, Query(ge=0, le=60, description="Seconds to hold the answer, until the test is over.")]
TestNumber = Annotated[int, Path(ge=1, le=1_000_000, description="The test's number, as in `[Test #n]`.")]


def _call(request: Request, session_id: str, arguments: A) -> Call[A]:
    return Call(bearer=bearer(request), session_id=session_id, arguments=arguments, key=idempotency_key(request))


def sessions_router(service: Service) -> APIRouter:
    router = APIRouter(prefix="/v1/sessions", responses=_REFUSALS, tags=["sessions"])
    quick = APIRouter(prefix=router.prefix, responses=_REFUSALS, tags=["sessions"], route_class=ToolRoute)
    tools, views, lifecycle = service.tools, service.views, service.lifecycle
    turns = asyncio.Lock()

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

    @quick.post("/{session_id}/edit", response_model=Edited)
    async def edit(session_id: str, body: EditArguments, request: Request) -> Response:
        """Change the file inside its editable ranges."""
        return answer_response(tools.edit(_call(request, session_id, body)))

    @quick.post("/{session_id}/view", response_model=Edited)
    async def view(session_id: str, request: Request, body: ViewArguments | None = None) -> Response:
        """Show the file with line numbers."""
        return answer_response(tools.view(_call(request, session_id, body or ViewArguments())))

    @quick.post("/{session_id}/undo", response_model=Edited)
    async def undo(session_id: str, request: Request, body: UndoArguments | None = None) -> Response:
        """Take back the last edits."""
        return answer_response(tools.undo(_call(request, session_id, body or UndoArguments())))

    @router.post("/{session_id}/check", response_model=Checked)
    async def check(session_id: str, request: Request, body: CheckArguments | None = None) -> Response:
        """Rehearse the file on CPU at a tiny size, free of charge. Answers in seconds."""
        return answer_response(await tools.check(_call(request, session_id, body or CheckArguments())))

    @router.post("/{session_id}/test", status_code=202, response_model=Started)
    async def test(session_id: str, request: Request, body: TestArguments | None = None, wait: Wait = 0) -> Response:
        """Spend a test on the file as it is. With `wait`, the answer may already hold the result."""
        call = _call(request, session_id, body or TestArguments())
        await tools.before_test(call)
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
            views.news(token, session_id, n, 0)  # refuses before the waiting begins
            await lifecycle.wait(session_id, n, wait)
        return json_response(await views.test_aside(token, session_id, n))

    @router.get(
        "/{session_id}/tests/{n}/events", response_class=StreamingResponse, responses=answers_with("text/event-stream")
    )
    async def events(session_id: str, n: TestNumber, request: Request) -> StreamingResponse:
        """Server-sent events: `status`, `metrics` and `progress` as they come, then `result`."""
        token = bearer(request)
        views.news(token, session_id, n, 0)  # refuses before the stream begins
        return StreamingResponse(_events(service, token, session_id, n, turns), media_type="text/event-stream")

    @router.post("/{session_id}/tests/{n}/cancel", response_model=schema.TestView)
    async def cancel(session_id: str, n: TestNumber, request: Request, wait: Wait = 10) -> Response:
        """Stop a test and free its devices. A test that was still queued is refunded."""
        tools.cancel(bearer(request), session_id, n)
        await lifecycle.wait(session_id, n, wait)
        return json_response(await views.test_aside(bearer(request), session_id, n))

    @quick.post("/{session_id}/submit", response_model=Submitted)
    async def submit(session_id: str, body: SubmitArguments, request: Request) -> Response:
        """Make a test's result the final answer. Closes the session."""
        return answer_response(tools.submit(_call(request, session_id, body)))

    @router.get("/{session_id}/trajectory", response_model=schema.TrajectoryView)
    async def trajectory(session_id: str, request: Request) -> Response:
        """Every step with its tool, input, observation and time, and the final files."""
        whole, steps = views.trajectory(bearer(request), session_id)
        pieces = json_pieces(whole, "steps", steps)
        return await download(pieces, service.snapshots, "application/json")

    # First those that are called most: routes are tried in order.
    router.routes[:0] = quick.routes
    return router


async def _take_turn(turns: asyncio.Lock) -> None:
    """Between two listeners everybody else is served: one who comes late is told thousands of losses."""
    async with turns:
        await asyncio.sleep(0)


async def _events(
    service: Service, token: str | None, session_id: str, n: int, turns: asyncio.Lock
) -> AsyncIterator[str]:
    status, shown, standing = None, 0, None
    while not service.lifecycle.stopping:
        await _take_turn(turns)
        try:
            seen = service.views.news(token, session_id, n, shown, POINTS_AT_ONCE)
            result = await service.views.test_aside(token, session_id, n) if seen.over else None
        except OUTAGES:
            yield ": the database does not answer\n\n"
            await asyncio.sleep(AGAIN_S)
            continue
        if seen.status != status:
            status = seen.status
            yield _event("status", TestTicket(n=n, status=status).to_dict())
        points = seen.progress.series if result is None else result.progress.series[shown:]
        for first in range(0, len(points), POINTS_AT_ONCE):
            if first:
                await _take_turn(turns)
            yield "".join(_event("metrics", point.to_dict()) for point in points[first : first + POINTS_AT_ONCE])
        shown += len(points)
        if result is not None:
            yield await service.snapshots.beside(_result, result)
            return
        if len(points) == POINTS_AT_ONCE:
            continue  # there may be more of them already
        progress = seen.progress.model_dump(exclude={"series"})
        if progress != standing:
            standing = progress
            yield _event("progress", progress)
        with contextlib.suppress(*OUTAGES):
            if not await service.lifecycle.changed(session_id, n, KEEP_ALIVE_S):
                yield ": still running\n\n"


def _result(test: schema.TestView) -> str:
    return _event("result", test.to_dict())


def _event(name: str, data: Mapping[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data, allow_nan=False)}\n\n"
