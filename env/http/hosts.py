"""Which names lead to a service that asks nobody for a key."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from env.http.headers import header
from env.http.responses import refusal_response
from env.service.access import LOOPBACK
from ringfence.api.refusal import Kind, Refusal


class LoopbackNames:
    """Turns away what was addressed to any other name.

    Without keys the service listens on loopback only, and whoever reaches it may open sessions. A web page, opened in
    a browser on the same host, must not reach it by having its own name resolved to this host (DNS rebinding).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not _is_loopback(header(scope, b"host")):
            observation = f"Without operator keys this service answers to {', '.join(LOOPBACK)} only."
            await refusal_response(Refusal(Kind.FORBIDDEN, "host_not_allowed", observation))(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _is_loopback(host: str | None) -> bool:
    """A browser always says where it thinks it is going; nothing said is no browser."""
    if not host:
        return True
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name.lower() in LOOPBACK
