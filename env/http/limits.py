"""Refuses bodies over the limit before they are read whole."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from env.http.responses import refusal_response
from env.refusal import Kind, Refusal

MAX_BODY_BYTES = 1 << 20


class _TooLarge(Exception):
    pass


class BodyLimit:
    """ASGI middleware: 413 for a body of more than `MAX_BODY_BYTES` bytes, declared or not."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in ("POST", "PUT", "PATCH", "DELETE"):
            await self._app(scope, receive, send)
            return
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if not declared.isdigit() or len(declared) > 18 or int(declared) > MAX_BODY_BYTES:
            await _refuse(scope, receive, send)
            return
        received, started = 0, False

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BODY_BYTES:
                raise _TooLarge
            return message

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, counted, noted)
        except _TooLarge:
            assert not started
            await _refuse(scope, receive, send)


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    refusal = Refusal(Kind.TOO_LARGE, "body_too_large", f"The body may have at most {MAX_BODY_BYTES} bytes.")
    await refusal_response(refusal)(scope, receive, send)
