"""How many requests a second one caller may send: more are refused before anything is done for them."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from time import monotonic

from starlette.types import ASGIApp, Receive, Scope, Send

from env.api.refusal import Kind, Refusal
from env.http.headers import header
from env.http.responses import refusal_response

BURST_S = 10.0
"""Whoever was quiet may send at once what the rate allows in this time."""
MAX_CALLERS = 20_000
"""Callers that are remembered, the latest ones."""
_EXEMPT = ("/healthz", "/readyz", "/metrics", "/static/")
"""What monitors ask, and what browsers keep."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Requests a second; 0 sets no limit."""

    session: float = 100.0
    """With one bearer secret, a session's token or an operator's key."""
    address: float = 1000.0
    """From one network address, whoever calls from there."""


class Buckets:
    """What each caller has left: a token bucket of BURST_S seconds' worth."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """What was left, and when."""

    def take(self, caller: str, now: float) -> bool:
        """Whether the caller may send a request now."""
        full = self._rate * BURST_S
        left, since = self._left.pop(caller, (full, now))
        left = min(full, left + (now - since) * self._rate)
        allowed = left >= 1
        self._left[caller] = (left - 1 if allowed else left), now
        if len(self._left) > MAX_CALLERS:
            self._left.popitem(last=False)
        return allowed


class RateLimit:
    """Refuses what exceeds the rates, with the time after which to come back."""

    def __init__(self, app: ASGIApp, rates: Rates) -> None:
        self._app = app
        self._rates = rates
        self._sessions = Buckets(rates.session)
        self._addresses = Buckets(rates.address)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (what := self._exceeded(scope)) is not None:
            refusal = Refusal(
                Kind.UNAVAILABLE,
                "too_many_requests",
                f"More than {what} a second. Nothing was done; repeat the call in some seconds.",
            )
            await refusal_response(refusal)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _exceeded(self, scope: Scope) -> str | None:
        """The limit that the request exceeds, in words."""
        if scope["path"].startswith(_EXEMPT):
            return None
        now, client = monotonic(), scope.get("client")
        if self._rates.address and client is not None and not self._addresses.take(client[0], now):
            return f"{self._rates.address:g} requests from one address"
        secret = header(scope, b"authorization")
        if self._rates.session and secret is not None and not self._sessions.take(secret, now):
            return f"{self._rates.session:g} requests with one token"
        return None
