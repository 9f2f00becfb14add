"""One connection, as the server's own protocol handles it, with bounds to what a caller may send and how slowly."""

from __future__ import annotations

import math
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from env.http.responses import AGAIN_S
from env.service.rates import Connections

MAX_HEAD_BYTES = 64 << 10
"""Of a request's first line and headers; a piece that comes whole is read before it is counted."""
HEAD_S = 20.0
"""From opening a connection, or from a request's first byte, to the end of its headers."""
BODY_S = 60.0
"""From there to the end of its body, which has a megabyte at most."""
UNREAD_S = 60.0
"""So long may a caller leave an answer unread once what the system holds for it is full."""


FAR_TOO_MANY = 2.0
"""Times the limit of connections from one address: those above it get no answer at all."""


class BoundedConnection(HttpToolsProtocol):
    """Refuses heads that are too long and callers with too many connections, and gives up those who take too long to
    send or to read.
    """

    by_address: Connections
    """Of all callers; a server's own class of connections has it."""
    _address = ""
    _too_many = False

    _head_bytes = 0
    _in_head = False
    _late_at = math.inf
    _unread_at = math.inf
    _refusal = (400, "bad_request", "This is no HTTP request.")

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._late_at = self.loop.time() + HEAD_S
        self._address = self.client[0] if self.client else ""
        self.by_address.opened(self._address)
        excess = self.by_address.excess(self._address)
        self._too_many = excess > 1  # is told so when it asks for something: the answer before the question may be lost
        if excess > FAR_TOO_MANY:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.by_address.closed(self._address)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._too_long()
            self.send_400_response("")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0
        self._late_at = self.loop.time() + HEAD_S

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._too_many:
            told = "Too many connections are open from this address. Close some, and repeat this call after a pause."
            self._refusal = (429, "too_many_connections", told)
            raise ValueError  # ends the parsing: the refusal is sent by `send_400_response`
        if sum(len(name) + len(value) for name, value in self.headers) + len(self.url) > MAX_HEAD_BYTES:
            self._too_long()
            raise ValueError  # ends the parsing: the refusal is sent by `send_400_response`
        self._late_at = self.loop.time() + BODY_S
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._late_at = math.inf
        super().on_message_complete()

    def pause_writing(self) -> None:
        self._unread_at = self.loop.time() + UNREAD_S
        super().pause_writing()

    def resume_writing(self) -> None:
        self._unread_at = math.inf
        super().resume_writing()

    def give_up_if_late(self, now: float) -> None:
        """To be called once in a while with the loop's time."""
        if now > self._unread_at:
            self.transport.abort()
        elif now > self._late_at and not self.transport.is_closing():
            if self.cycle is None and not self._in_head:
                self.transport.close()  # nobody has asked for anything
                return
            self._refusal = (408, "too_slow", "The request took too long to arrive.")
            self.send_400_response("")

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - ours are in the documented form
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(_response(*self._refusal))
        self.transport.close()

    def _too_long(self) -> None:
        told = f"A request's first line and headers may have at most {MAX_HEAD_BYTES} bytes."
        self._refusal = (431, "headers_too_large", told)


def _response(status: int, code: str, told: str) -> bytes:
    body = f'{{"ok":false,"observation":"ERROR: {told}","code":"{code}"}}'
    head = f"HTTP/1.1 {status} Refused\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    if status == 429:
        head += f"retry-after: {AGAIN_S}\r\n"
    return f"{head}connection: close\r\n\r\n{body}".encode()
