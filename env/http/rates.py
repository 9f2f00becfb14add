"""Callers who call too often are told when to come back, before anything is read or done for them."""

from __future__ import annotations

import ipaddress
import math
import time
from collections.abc import Callable
from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send

from env.http.headers import header
from env.http.responses import refusal_response
from env.service.access import bearer_of, sha256
from env.service.rates import Allowances, RateLimits
from ringfence.api.refusal import Kind, Refusal

_FREE = ("/healthz", "/readyz")
"""What monitors ask, who may share an address with whoever calls too often."""


class RateLimit:
    """Counts calls by address and by the secret they show; operators' keys are counted nowhere.

    A session is known by its token, not by its address: nobody without the token can use up its allowance. So MCP calls
    that give the token as an argument are counted by address only.
    """

    def __init__(self, app: ASGIApp, limits: RateLimits, is_operator: Callable[[str], bool]) -> None:
        self._app = app
        self._is_operator = is_operator
        self._on_loopback = limits.on_loopback
        self._by_secret = Allowances(limits.per_session, time.monotonic)
        self._by_address = Allowances(limits.per_address, time.monotonic)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wait = self._wait(scope) if scope["type"] == "http" else 0.0
        if not wait:
            await self._app(scope, receive, send)
            return
        refusal = Refusal(Kind.UNAVAILABLE, "too_many_calls", "Too many calls. Repeat this one after a pause.")
        response = refusal_response(refusal)
        response.headers["Retry-After"] = str(math.ceil(wait))
        await response(scope, receive, send)

    def _wait(self, scope: Scope) -> float:
        """Seconds until this call would be allowed; 0 if it is."""
        address = (scope.get("client") or ("",))[0]
        if (not self._on_loopback and is_loopback(address)) or scope["path"] in _FREE:
            return 0.0
        secret = bearer_of(header(scope, b"authorization") or "")
        if secret and self._is_operator(secret):
            return 0.0
        return self._by_address.take(address) or (self._by_secret.take(sha256(secret)) if secret else 0.0)


@lru_cache(1024)  # every call asks
def is_loopback(address: str) -> bool:
    """Whether a connection from there comes from this host."""
    try:
        return not address or ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
