"""Answers and refusals as HTTP responses. Whatever goes wrong, the body has the same shape."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic_core import PydanticSerializationError
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from env.http.encoding import json_bytes
from env.service.long_reads import LongReads, Pieces
from env.service.readings import P, Read
from env.service.refusals import no_database
from ringfence.api.arguments import TOOLS, mistakes
from ringfence.api.base import Body
from ringfence.api.refusal import Kind, Refusal, Refused
from ringfence.api.sessions import OpenSession
from ringfence.api.tools import Edited, TurnedDown

STATUS = {
    Kind.MALFORMED: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.TOO_LARGE: 413,
    Kind.INVALID: 422,
    Kind.EXHAUSTED: 429,
    Kind.UNAVAILABLE: 429,  # which says when to come back, and is no failure of the service's code
}
MAX_BODY_BYTES = 1 << 20
DOWNLOAD_S = 900
"""For an answer of any length: as long may it keep what it reads from being tidied up."""
AGAIN_S = 2
"""When a call that cannot be answered at the moment is worth repeating."""
JSON = "application/json"
_CODES = {404: "not_found", 405: "method_not_allowed"}


def json_response(body: Body | Mapping[str, Any], status: int = 200) -> Response:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return Response(json_bytes(body), status, headers, "application/json")


async def download(reads: LongReads, media_type: str, read: Read[P], *arguments: P.args, **named: P.kwargs) -> Response:
    """A long read as an answer of any length, passed on piece by piece; whoever takes too long to take it gets no more.

    What the database raises, it raises before the answer begins.
    """
    reading = await reads.begin(read, *arguments, **named)
    if reading.rest is None:
        return Response(reading.first, media_type=media_type)
    return _Download(reading.first, reading.rest, media_type)


class _Download(StreamingResponse):
    """Lets go of its snapshot as soon as it is sent, or its caller gone."""

    def __init__(self, first: bytes, rest: Pieces, media_type: str) -> None:
        super().__init__(_in_time(first, rest), media_type=media_type)
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._rest.close()


async def _in_time(piece: bytes, rest: Pieces) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + DOWNLOAD_S
    yield piece
    while not rest.over:
        if loop.time() > deadline:
            raise TimeoutError(f"a download was not taken within {DOWNLOAD_S} s")
        yield await rest.take()


def answers_with(media_type: str) -> dict[int | str, dict[str, Any]]:
    """For the OpenAPI document: a call whose answer is text of this type. Its refusals are JSON all the same."""
    return {200: {"content": {media_type: {}}}}


def answer_response(answer: Edited | TurnedDown, status: int = 200) -> Response:
    """A tool's answer. It holds no fractions, so that the model's own JSON is the same, and it is made sooner."""
    status = STATUS[answer.kind] if isinstance(answer, TurnedDown) else status
    try:
        return Response(answer.model_dump_json(exclude_unset=True), status, media_type="application/json")
    except PydanticSerializationError:  # a lone surrogate
        return json_response(answer, status)


def refusal_response(refusal: Refusal) -> Response:
    response = json_response(refusal.body, STATUS[refusal.kind])
    if refusal.kind is Kind.UNAVAILABLE:
        response.headers["Retry-After"] = str(AGAIN_S)
    return response


def too_large() -> Response:
    return refusal_response(
        Refusal(Kind.TOO_LARGE, "body_too_large", f"The body may have at most {MAX_BODY_BYTES} bytes.")
    )


async def on_refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return refusal_response(error)


async def on_outage(_: Request, __: Exception) -> Response:
    return refusal_response(no_database())


async def on_failure(_: Request, __: Exception) -> Response:
    """Our own bug: the server logs it."""
    observation = "ERROR: The service failed to answer this call; its operator can read why in the log."
    return json_response(Refused(ok=False, observation=observation, code="internal_error"), 500)


async def on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = error.errors()
    if any(item["type"] == "json_invalid" for item in errors):
        return refusal_response(Refusal(Kind.MALFORMED, "bad_json", "The body is not valid JSON."))
    last = request.url.path.rstrip("/").rsplit("/", 1)[-1]
    tool = None if request.method != "POST" else OpenSession if last == "sessions" else TOOLS.get(last)
    return refusal_response(
        Refusal(Kind.INVALID, "invalid_arguments", mistakes(map(_from_the_body, errors), tool, last))
    )


async def on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 400:
        return refusal_response(Refusal(Kind.MALFORMED, "bad_body", "The body is not JSON text in UTF-8."))
    if error.status_code == 413:
        return too_large()
    where = f"{request.method} {request.url.path[:200]}"
    body = Refused(
        ok=False,
        observation=f"ERROR: {error.detail}: {where}. GET /openapi.json lists what there is.",
        code=_CODES.get(error.status_code, "http_error"),
    )
    response = json_response(body, error.status_code)
    response.headers.update(error.headers or {})
    if response.headers.get("allow") == "GET":
        response.headers["allow"] = "GET, HEAD"  # see `heads`
    return response


def _from_the_body(error: Any) -> dict[str, Any]:
    """The framework's error as its model would have given it: without `body` or `query` in front of the place."""
    told = {**error, "loc": error["loc"][1:]}
    if error["type"] == "model_attributes_type":
        told["msg"] = "must be a JSON object, sent as Content-Type: application/json"
    return told
