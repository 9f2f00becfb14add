"""Probes of sessions over HTTP: as tests are bought, followed and stopped, at addresses of their own."""

from __future__ import annotations

import contextlib
from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response, StreamingResponse

from env.http.events import HEADERS, Listening, events_of
from env.http.headers import bearer
from env.http.responses import answer_response, answers_with, json_response
from env.http.sessions import REFUSALS, Wait, call_of
from env.service.service import Service
from env.store.keys import key_of_probe
from env.store.outage import OUTAGES
from ringfence.api import sessions as schema
from ringfence.api.arguments import CancelProbeArguments, ProbeArguments
from ringfence.api.tools import Probed

ProbeNumber = Annotated[int, Path(ge=1, le=1_000_000, description="The probe's number, as in `[Probe #n]`.")]


def probes_router(service: Service) -> APIRouter:
    router = APIRouter(prefix="/v1/sessions", responses=REFUSALS, tags=["sessions"])
    tools, views, lifecycle = service.tools, service.views, service.lifecycle
    listening = Listening()

    @router.post("/{session_id}/probe", status_code=202, response_model=Probed)
    async def probe(session_id: str, request: Request, body: ProbeArguments | None = None, wait: Wait = 0) -> Response:
        """Spend a probe on the file as it is: a test at the proxy of the session's scale, where it has one."""
        call = call_of(request, session_id, body or ProbeArguments())
        await service.checks.before_a_test(call)
        answer = tools.probe(call)
        if isinstance(answer, Probed) and wait:
            key = key_of_probe(answer.probe.n)
            with contextlib.suppress(*OUTAGES):  # it is bought: what came of it can be asked for later
                await lifecycle.wait(session_id, key, wait)
                seen = await views.test_aside(bearer(request), session_id, key)
                return json_response(tools.progressed(answer, seen), 202)
        return answer_response(answer, 202)

    @router.get("/{session_id}/probes/{n}", response_model=schema.TestView)
    async def read_probe(session_id: str, n: ProbeNumber, request: Request, wait: Wait = 0) -> Response:
        """Status, progress and result of a probe."""
        token, key = bearer(request), key_of_probe(n)
        if wait:
            views.news(token, session_id, key)  # refuses before the waiting begins
            await lifecycle.wait(session_id, key, wait)
        return json_response(await views.test_aside(token, session_id, key))

    @router.get(
        "/{session_id}/probes/{n}/events", response_class=StreamingResponse, responses=answers_with("text/event-stream")
    )
    async def probe_events(session_id: str, n: ProbeNumber, request: Request) -> StreamingResponse:
        """Server-sent events of a probe, as those of a test."""
        token, key = bearer(request), key_of_probe(n)
        views.news(token, session_id, key)  # refuses before the stream begins
        told = events_of(service, listening, token, session_id, key)
        return StreamingResponse(told, headers=HEADERS, media_type="text/event-stream")

    @router.post("/{session_id}/probes/{n}/cancel", response_model=schema.TestView)
    async def cancel_probe(session_id: str, n: ProbeNumber, request: Request, wait: Wait = 10) -> Response:
        """Stop a probe and free its devices. A probe that was still queued is refunded."""
        service.cancelling.cancel(call_of(request, session_id, CancelProbeArguments(n=n)))
        await lifecycle.wait(session_id, key_of_probe(n), wait)
        return json_response(await views.test_aside(bearer(request), session_id, key_of_probe(n)))

    return router
