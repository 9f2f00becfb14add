"""The quick way through a tool call that is as it should be."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from env.http.headers import header
from ringfence.api.arguments import TOOLS


class ToolRoute(APIRoute):
    """A route to an endpoint `(session_id, body, request)`, whose last part is a tool's name.

    Documented like any other. A well-formed call is handed to the endpoint at once, which saves a third of an edit's
    time; any other goes the framework's way, where it gets its refusal.
    """

    def __init__(self, path: str, *arguments: Any, **options: Any) -> None:
        super().__init__(path, *arguments, **options)
        self._arguments = TOOLS[path.rsplit("/", 1)[-1]]
        self._by_the_book, self.app = self.app, self._quick

    async def _quick(self, scope: Scope, receive: Receive, send: Send) -> None:
        content = await _whole_body(receive)
        if content is None:
            return
        try:
            if header(scope, b"content-type") != "application/json":
                raise ValueError
            body = self._arguments.model_validate_json(content)
        except ValueError:
            await self._by_the_book(scope, _again(content, receive), send)
            return
        session_id = scope["path_params"]["session_id"]
        response: Response = await self.endpoint(session_id=session_id, body=body, request=Request(scope, receive))
        await response(scope, receive, send)


async def _whole_body(receive: Receive) -> bytes | None:
    """None when the caller leaves before it is all there."""
    parts: list[bytes] = []
    while (message := await receive())["type"] == "http.request":
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)
    return None


def _again(content: bytes, receive: Receive) -> Receive:
    """What `receive` gave, and will give."""
    messages: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    return again
