"""Connections whose callers cannot keep the server busy: what they send has a size and a time."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 << 10
"""Of a request's line and headers together."""
REQUEST_S = 60.0
"""For a request to arrive whole, its body included, from its first byte; and for the first byte of a connection."""


class BoundedConnection(HttpToolsProtocol):
    """Closes a connection whose request has too large a head, or does not arrive in time.

    Nothing is answered: a caller who sends a byte at a time reads no answers either.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._head_bytes = 0
        self._in_head = True
        self._due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._due = self.loop.call_later(REQUEST_S, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0
        if self._due is None:
            self._due = self.loop.call_later(REQUEST_S, self.transport.abort)

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._arrived()

    def _arrived(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
