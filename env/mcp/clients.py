"""Requests as real clients send them, made into what the protocol's library takes."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
"""As ASGI has them."""
_BOTH = b"application/json, text/event-stream"
_STREAMS = ("text/event-stream", "text/*", "*/*")


def takes_streams(scope: Scope) -> bool:
    """Whether the client reads server-sent events; to any other, answers are plain JSON."""
    accepted = [kind.split(";")[0].strip().lower() for kind in _accept(scope).split(",")]
    return any(kind in _STREAMS for kind in accepted)


def accepting(scope: Scope) -> Scope:
    """The request with the Accept header that the protocol asks for, whatever it said itself."""
    others = [(name, value) for name, value in scope["headers"] if name != b"accept"]
    return {**scope, "headers": [*others, (b"accept", _BOTH)]}


def _accept(scope: Scope) -> str:
    return ",".join(value.decode("latin-1") for name, value in scope["headers"] if name == b"accept")


def with_plain_arguments(receive: Receive) -> Receive:
    """The same body, but a tool's arguments are an object where they came as a text that holds one, or as nothing.

    Arguments that are neither stand under a name that no tool has, so that the tool says what it takes.
    """
    whole: list[bytes] = []
    done = False

    async def received() -> Message:
        nonlocal done
        if done:
            return await receive()
        while (message := await receive())["type"] == "http.request":
            whole.append(message.get("body", b""))
            if not message.get("more_body", False):
                done = True
                return {"type": "http.request", "body": _mended(b"".join(whole)), "more_body": False}
        done = True
        return message

    return received


def _mended(body: bytes) -> bytes:
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return body  # it gets the library's refusal
    calls = message if isinstance(message, list) else [message]
    mended = [_mend(call) for call in calls]
    return json.dumps(message).encode() if any(mended) else body


def _mend(call: Any) -> bool:
    """Whether the call's arguments had to be changed."""
    match call:
        case {"method": "tools/call", "params": {"arguments": dict() | None}}:
            return False
        case {"method": "tools/call", "params": {"arguments": given} as parameters}:
            parameters["arguments"] = _as_object(given)
            return True
    return False


def _as_object(given: Any) -> dict[str, Any]:
    if given == "":
        return {}
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            return {"arguments": given}
    return given if isinstance(given, dict) else {} if given is None else {"arguments": given}
