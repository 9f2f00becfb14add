"""A limit to the bytes of a request's body."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from env.http.headers import header
from env.http.responses import too_large


class BodyLimit:
    """Refuses at once what says that it is too long, and the rest when it gets too long.

    In place of the framework's own limit, which answers the first kind as plain text.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        said = header(scope, b"content-length")
        if said is not None and int(said) > self._max_bytes:
            await too_large()(scope, receive, send)
        elif said is not None and header(scope, b"transfer-encoding") is None:
            await self._app(scope, receive, send)  # the server reads no more than was said
        else:
            await self._app(scope, *self._counted(receive, send))

    def _counted(self, receive: Receive, send: Send) -> tuple[Receive, Send]:
        received, answering = 0, False

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            # Once the answer has begun it is too late to refuse: a stream only listens for the caller's leaving.
            if received > self._max_bytes and not answering:
                raise HTTPException(413)
            return message

        async def sent(message: Message) -> None:
            nonlocal answering
            answering = True
            await send(message)

        return counted, sent
