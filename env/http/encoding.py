"""Answers as JSON text, and as server-sent events."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any

from ringfence.api.base import Body


def _given(answer: object) -> dict[str, object]:
    """An answer's fields in their order; those that nobody set, or that are for transports only, are no part of it."""
    assert isinstance(answer, Body), type(answer)
    fields, given = type(answer).model_fields, answer.model_fields_set
    return {name: value for name, value in vars(answer).items() if name in given and not fields[name].exclude}


# Not the models' own JSON: it writes some numbers otherwise (1e-05 as 0.00001), and no lone surrogate at all.
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_given).encode


def json_bytes(body: Body | Mapping[str, Any]) -> bytes:
    """An answer as JSON."""
    return _bytes(_encode(body))


def json_pieces(body: Body, field: str, items: Iterable[Body | Mapping[str, Any]]) -> Iterator[bytes]:
    """The JSON of an answer, one of whose fields is a list that need never be whole in memory."""
    items = iter(items)
    before = list(islice(items, 1))  # what the first one raises is raised before the answer begins
    between = b"{"
    for name, value in _given(body).items():
        yield between + f'"{name}":'.encode()
        between = b","
        if name != field:
            yield _bytes(_encode(value))
            continue
        yield b"["
        comma = b""
        for item in chain(before, items):
            yield comma + _bytes(_encode(item))
            comma = b","
        yield b"]"
    yield b"}"


def _bytes(text: str) -> bytes:
    # A lone surrogate can't be UTF-8; as a backslash escape it is what JSON itself writes for it.
    return text.encode("utf-8", "backslashreplace")


def event(name: str, data: Mapping[str, Any]) -> str:
    """One server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data, allow_nan=False)}\n\n"
