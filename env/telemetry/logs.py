"""Logs on standard error: one line for each request and for each event of a test, as text or as JSON.

A line is an event's name with fields. Tokens and keys are in no field: what is logged of a request is its route as the
service knows it, never its address, headers or body.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

REQUESTS = logging.getLogger("ringfence.requests")
TESTS = logging.getLogger("ringfence.tests")
_UNSAFE = re.compile(r"[^\x21\x23-\x3c\x3e-\x7e]")  # blanks, quotes, `=` and whatever is not printable ASCII


class LogFormat(StrEnum):
    """How a line is written."""

    TEXT = "text"
    JSON = "json"


def event(log: logging.Logger, name: str, **fields: Any) -> None:
    """Logs one line: `name` with `fields`, those that are None left out."""
    if log.isEnabledFor(logging.INFO):
        log.info(name, extra={"fields": {key: value for key, value in fields.items() if value is not None}})


def configure(chosen: LogFormat | None) -> None:
    """Sets up the logs of the whole process. None means warnings and errors only, as text."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if chosen is LogFormat.JSON else _Text())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("ringfence").setLevel(logging.WARNING if chosen is None else logging.INFO)
    # Nobody reads them, and every request would pay for them.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


class _Text(logging.Formatter):
    """`2026-01-31T12:00:00.000Z INFO ringfence.requests request method=GET status=200 …`."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = getattr(record, "fields", {})
        told = "".join(f" {key}={_plain(value)}" for key, value in fields.items())
        return f"{_at(record)} {record.levelname} {record.name} {_message(record)}{told}"


class _Json(logging.Formatter):
    """One object a line: `at`, `level`, `logger`, `event`, and the event's fields."""

    def format(self, record: logging.LogRecord) -> str:
        head = {"at": _at(record), "level": record.levelname, "logger": record.name, "event": _message(record)}
        return json.dumps({**getattr(record, "fields", {}), **head}, default=str)


def _at(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


def _message(record: logging.LogRecord) -> str:
    """With a traceback, if it carries one."""
    if record.exc_info:
        return f"{record.getMessage()}\n{logging.Formatter().formatException(record.exc_info)}"
    return record.getMessage()


def _plain(value: object) -> str:
    text = str(value)
    return json.dumps(text) if not text or _UNSAFE.search(text) else text
