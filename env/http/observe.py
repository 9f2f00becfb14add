"""Every request, once it is answered: counted by route and status, and logged."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import perf_counter
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from env.telemetry.logs import REQUESTS, event
from env.telemetry.metrics import Metrics

_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_ID_CHARS = 32


class Observe:
    """Goes around everything that answers. Costs some microseconds a request."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._requests = metrics.requests
        self._observers: dict[tuple[str, str, int], Callable[[float], None]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500  # unless an answer begins: whatever was raised is answered further out
        started = perf_counter()

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            self._note(scope, status, perf_counter() - started)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        # Only what there is a bounded number of: callers can make up methods and addresses.
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        route = getattr(scope.get("route"), "path", "unmatched")
        self._observer(method, route, status)(seconds)
        if REQUESTS.isEnabledFor(logging.INFO):
            shown = {"method": method, "route": route, "status": status, "ms": round(seconds * 1000, 2)}
            event(REQUESTS, "request", **shown, session=_session_id(scope))

    def _observer(self, method: str, route: str, status: int) -> Callable[[float], None]:
        """Found once: the registry's own look-up takes twice as long as all the rest."""
        key = (method, route, status)
        found = self._observers.get(key)
        if found is None:
            found = self._observers[key] = self._requests.labels(method, route, str(status)).observe
        return found


def _session_id(scope: Scope) -> str | None:
    """If it looks like one: a caller may have written anything there, a token by mistake too."""
    given: Any = scope.get("path_params", {}).get("session_id")
    looks_right = isinstance(given, str) and len(given) <= _ID_CHARS and given.isascii() and given.isalnum()
    return given if looks_right else None
