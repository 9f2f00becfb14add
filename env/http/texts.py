"""What no text in a request may hold."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from env.http.responses import refusal_response
from ringfence.api.refusal import Kind, Refusal


class NoNul:
    """Refuses NUL in a query of the API: PostgreSQL takes none in a text. Paths are compared with what there is; pages
    refuse it themselves, as a page.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and b"%00" in scope["query_string"] and scope["path"].startswith("/v1/"):
            refusal = Refusal(Kind.INVALID, "invalid_arguments", "The query holds a NUL, which no text may.")
            await refusal_response(refusal)(scope, receive, send)
        else:
            await self._app(scope, receive, send)
