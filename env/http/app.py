"""The HTTP application over a wired service."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Route

from env.http.api_page import api_route
from env.http.bodies import BodyLimit
from env.http.catalogue import catalogue_router
from env.http.heads import HeadAsGet
from env.http.health import health_router
from env.http.hosts import LoopbackNames
from env.http.mcp_route import McpRoute
from env.http.observe import Observe
from env.http.pages import pages_router
from env.http.probes import probes_router
from env.http.rates import RateLimit
from env.http.responses import MAX_BODY_BYTES, on_failure, on_http_error, on_invalid, on_outage, on_refusal
from env.http.sessions import sessions_router
from env.http.texts import NoNul
from env.service.repeats import MAX_KEY_CHARS
from env.service.service import Service
from env.store.outage import OUTAGES
from ringfence.api.distribution import own_version
from ringfence.api.refusal import Refusal

_ABOUT = """\
Open a session on a task, edit the file inside its editable ranges, test it, and submit one result.

Calls in a session carry its token as `Authorization: Bearer`. POSTs accept an `Idempotency-Key` header: the same call
under the same key gets the first answer again and spends nothing."""


MCP = ("/mcp", "/mcp/")
"""Clients are configured with either."""


class _Application(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document, made when it is first asked for: it takes a fifth of what a start takes."""
        if self.openapi_schema is None:
            _describe_headers(super().openapi())
        return super().openapi()


def create_app(service: Service, root_path: str = "") -> FastAPI:
    """`root_path`: the prefix of its addresses at the proxy before it, as `/ringfence`."""
    mcp = McpRoute(service)

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

    app = _Application(
        title="Ringfence",
        version=own_version(),
        description=_ABOUT,
        lifespan=lifespan,
        redirect_slashes=False,
        root_path=root_path,
        docs_url=None,  # the framework's own load scripts from elsewhere
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # the service has figures and logs of its own
    )
    app.add_middleware(BodyLimit, max_bytes=MAX_BODY_BYTES)
    app.add_middleware(HeadAsGet)
    app.add_middleware(NoNul)
    if service.open_to_all:
        app.add_middleware(LoopbackNames)
    app.add_middleware(RateLimit, limits=service.rates, is_operator=service.is_operator)
    app.add_middleware(Observe, metrics=service.metrics)  # added last, so it goes around the others
    app.add_exception_handler(Refusal, on_refusal)
    for outage in OUTAGES:
        app.add_exception_handler(outage, on_outage)
    app.add_exception_handler(Exception, on_failure)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http_error)
    rooms = (sessions_router, probes_router, catalogue_router, health_router, pages_router)
    # Taken over, not included: an included router is searched twice in every call. And in front of the framework's own,
    # as routes are tried in order.
    ours = [route for room in rooms for route in room(service).routes]
    app.router.routes[:0] = [*ours, api_route(app.openapi), *(Route(path, mcp, methods=["POST"]) for path in MCP)]
    return app


def _describe_headers(document: dict[str, Any]) -> None:
    """Adds what handlers read from headers to the OpenAPI document, once, instead of resolving it on every call."""
    document["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    key = {"name": "Idempotency-Key", "in": "header", "required": False}
    key |= {"schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARS}}
    for path, operations in document["paths"].items():
        if not path.startswith("/v1/sessions"):
            continue
        for method, operation in operations.items():
            # Opening needs a key only where keys are configured.
            operation["security"] = [{"bearer": []}] if "{session_id}" in path else [{}, {"bearer": []}]
            if method == "post" and not path.endswith("/close"):
                operation.setdefault("parameters", []).append(key)
