"""What a request says in its headers, read without the framework's slower mapping: every call does it several times."""

from __future__ import annotations

from fastapi import Request
from starlette.types import Scope

from env.service.access import bearer_of


def header(scope: Scope, name: bytes) -> str | None:
    """The first value under a name, which is in lower case, as servers hand names on; None when there is none."""
    for key, value in scope["headers"]:
        if key == name:
            text: str = value.decode("latin-1")
            return text
    return None


def bearer(request: Request) -> str | None:
    """The secret that the caller shows; None without one."""
    return bearer_of(header(request.scope, b"authorization") or "")


def idempotency_key(request: Request) -> str | None:
    return header(request.scope, b"idempotency-key")
