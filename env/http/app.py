"""The HTTP application over a wired service."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Route

from env.api.refusal import Refusal
from env.http.bodies import BodyLimit
from env.http.catalogue import catalogue_router
from env.http.heads import HeadAsGet
from env.http.health import health_router
from env.http.hosts import LoopbackNames
from env.http.observe import Observe
from env.http.pages import pages_router
from env.http.rates import RateLimit, Rates
from env.http.responses import MAX_BODY_BYTES, on_http_error, on_invalid, on_outage, on_refusal
from env.http.sessions import sessions_router
from env.http.texts import NoNul
from env.mcp.server import McpEndpoint
from env.service.repeats import MAX_KEY_CHARS
from env.service.service import Service
from env.store.outage import OUTAGES

_ABOUT = """\
Open a session on a task, edit the file inside its editable ranges, test it, and submit one result.

Calls in a session carry its token as `Authorization: Bearer`. POSTs accept an `Idempotency-Key` header: the same call
under the same key gets the first answer again and spends nothing."""


def create_app(service: Service, rates: Rates | None = None) -> FastAPI:
    mcp = McpEndpoint(service)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loops = [asyncio.create_task(loop.run()) for loop in service.loops]
        async with mcp.run():
            yield
        for loop in loops:
            loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await loop
        service.engine.dispose()

    app = FastAPI(
        title="Ringfence",
        version=version("ringfence"),
        description=_ABOUT,
        lifespan=lifespan,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # the service has figures and logs of its own
    )
    app.add_middleware(BodyLimit, max_bytes=MAX_BODY_BYTES)
    app.add_middleware(HeadAsGet)
    app.add_middleware(NoNul)
    if service.open_to_all:
        app.add_middleware(LoopbackNames)
    app.add_middleware(RateLimit, rates=rates or Rates())
    app.add_middleware(Observe, metrics=service.metrics)  # added last, so it goes around the others
    app.add_exception_handler(Refusal, on_refusal)
    for outage in OUTAGES:
        app.add_exception_handler(outage, on_outage)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http_error)
    rooms = (sessions_router, catalogue_router, health_router, pages_router)
    # Taken over, not included: an included router is searched twice in every call. And in front of the framework's own,
    # as routes are tried in order.
    ours = [route for room in rooms for route in room(service).routes]
    app.router.routes[:0] = [*ours, Route("/mcp", mcp, methods=["POST"])]
    _describe_headers(app)
    return app


def _describe_headers(app: FastAPI) -> None:
    """Adds what handlers read from headers to the OpenAPI document, once, instead of resolving it on every call."""
    document: dict[str, Any] = app.openapi()
    document["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    key = {"name": "Idempotency-Key", "in": "header", "required": False}
    key |= {"schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARS}}
    for path, operations in document["paths"].items():
        if not path.startswith("/v1/sessions"):
            continue
        for method, operation in operations.items():
            # Opening needs a key only where keys are configured.
            operation["security"] = [{"bearer": []}] if "{session_id}" in path else [{}, {"bearer": []}]
            if method == "post" and not path.endswith("/cancel"):
                operation.setdefault("parameters", []).append(key)
