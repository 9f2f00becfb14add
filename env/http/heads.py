"""HEAD, as monitors and caches ask: the answer to GET without its body."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_OF_THE_ROUTE = ("route", "endpoint", "path_params")


class _Enough(Exception):
    """The beginning of an answer was all that was asked for."""


class HeadAsGet:
    """Hands HEAD on as GET. The server sends no body to HEAD; one that would never end is broken off."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        begun = False

        async def headers_only(message: Message) -> None:
            nonlocal begun
            if begun:
                raise _Enough
            begun = message["type"] == "http.response.start"
            await send(message)
            if not any(name.lower() == b"content-length" for name, _ in message.get("headers", ())):
                raise _Enough  # a stream, which may take its time until it says something

        handed_on = {**scope, "method": "GET"}
        try:
            await self._app(handed_on, receive, headers_only)
        except Exception:
            if not begun:
                raise
            await send({"type": "http.response.body", "body": b""})
        finally:
            scope.update({name: handed_on[name] for name in _OF_THE_ROUTE if name in handed_on})
