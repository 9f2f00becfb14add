"""The researchers' pages: what the service tells, rendered by `leaderboard/pages` and `session_page`."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from env.http import reads
from env.http.headers import bearer
from env.http.responses import STATUS
from env.service.service import Service
from leaderboard.pages.address import BoardAddress
from leaderboard.pages.assets import PREFIX, assets, version
from leaderboard.pages.home import TaskEntry
from leaderboard.pages.notices import error_page, locked_page
from leaderboard.pages.published import published_page
from leaderboard.published import published
from leaderboard.table import QueryError
from ringfence.api.refusal import Kind, Refusal

# Nothing but what this service itself serves, and no script in a page's text: what agents wrote stays text.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_FROM_THE_ROOT = re.compile(r'\b(href|src|action)="/(?!/)')
_FOREVER = "public, max-age=31536000, immutable"
_LOCKED = (Kind.UNAUTHENTICATED, Kind.FORBIDDEN)

Page = Callable[..., Any]


def pages_router(service: Service) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    @_with_refusals
    async def home(request: Request) -> Response:  # noqa: ARG001
        tasks = [TaskEntry(task.id, task.title, tuple(task.scales)) for task in service.tasks.values()]
        return _html(await service.reads.whole(reads.home, tasks))

    @router.get("/published")
    @_with_refusals
    async def figures_of_others(request: Request) -> Response:  # noqa: ARG001
        tasks = [TaskEntry(task.id, task.title, tuple(task.scales)) for task in service.tasks.values()]
        return _html(published_page(published(), tasks))

    @router.get("/tasks/{task_id}")
    @_with_refusals
    async def task(task_id: str, request: Request) -> Response:
        service.catalogue.task(task_id)  # refuses
        parameters = request.query_params
        query = BoardAddress.of({name: parameters.getlist(name) for name in parameters})
        return _html(await service.reads.whole(reads.task, task_id, query))

    @router.get("/sessions/{session_id}")
    @_with_refusals
    async def session(session_id: str, request: Request) -> Response:
        page = request.query_params.get("page", "1")
        if not (page.isascii() and page.isdecimal() and len(page) < 10 and int(page) > 0):
            raise Refusal(Kind.INVALID, "bad_page", "page must be a whole number from 1.")
        token = bearer(request)
        try:
            wanted = service.views.history_page(token, session_id, int(page))
            return _html(await service.reads.whole(reads.session, wanted), private=True)
        except Refusal as refusal:
            if refusal.kind not in _LOCKED:
                raise
            # No error but an answer: the page that asks for the token. A browser would log any other status.
            return _html(locked_page(session_id, refusal.message if token else None), private=True)

    @router.get(PREFIX + "/{digest}/{name}")
    @_with_refusals
    async def static(digest: str, name: str, request: Request) -> Response:  # noqa: ARG001
        asset = assets().get(name)
        if asset is None:
            raise Refusal(Kind.NOT_FOUND, "unknown_file", "There is no such file.")
        headers = _HEADERS | {"Cache-Control": _FOREVER if digest == version() else "no-cache"}
        return Response(asset.content, headers=headers, media_type=asset.media_type)

    return router


def _with_refusals(page: Page) -> Page:
    """What turns a page down, as a page."""

    @wraps(page)
    async def handled(*arguments: Any, **named: Any) -> Response:
        try:
            response: Response = await page(*arguments, **named)
        except QueryError as error:
            response = _html(error_page(422, f"{error}."), 422)
        except Refusal as refusal:
            status = STATUS[refusal.kind]
            response = _html(error_page(status, refusal.message), status)
        return _at_its_prefix(named["request"], response)

    return handled


def html_page(request: Request, text: str) -> Response:
    """A page that is the same for everybody."""
    return _at_its_prefix(request, _html(text))


def _at_its_prefix(request: Request, response: Response) -> Response:
    """Links are written for a service at the root of its host. Behind a proxy it may have a prefix. No text of an
    agent's holds an attribute: its quotes are escaped.
    """
    prefix = request.scope.get("root_path", "")
    if not prefix or response.media_type != "text/html":
        return response
    text = _FROM_THE_ROOT.sub(rf'\1="{prefix}/', bytes(response.body).decode())
    headers = {name: response.headers[name] for name in ("cache-control", "vary") if name in response.headers}
    return Response(text.encode(), response.status_code, _HEADERS | headers, "text/html")


def _html(text: str | bytes, status: int = 200, *, private: bool = False) -> Response:
    caching = {"Cache-Control": "no-store", "Vary": "Authorization"} if private else {"Cache-Control": "no-cache"}
    return Response(text, status, _HEADERS | caching, "text/html")
