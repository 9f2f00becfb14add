"""Types of columns that hold times and JSON, the same on SQLite and PostgreSQL.

There are two forms of each. A change of a form would not read what is stored, so both stay: the leaderboard's tables
hold times as the database's own and JSON as Python writes it; the tables of sessions hold ISO 8601 texts and JSON
without blanks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, String, Text, TypeDecorator

# ASCII only: NUL and lone surrogates, which no database takes in text, become escapes.
_compact = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


def time_text(at: datetime) -> str:
    """An aware time in UTC as `2026-01-31T12:00:00.000Z`: texts of this form compare as their times do."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime, stored and read back as UTC; SQLite itself would drop the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        assert value.tzinfo is not None, "a naive time has no place in a table"
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class TimeText(TypeDecorator[datetime]):
    """An aware datetime as the text that `time_text` makes of it, to the millisecond."""

    impl = String(32)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else time_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else datetime.fromisoformat(value)


class JsonText(TypeDecorator[Any]):
    """A JSON value as ASCII text; NaN and infinities, which JSON lacks, become null.

    Escaping everything else lets lone surrogates and NUL, which no database takes in text, pass through unharmed.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:  # noqa: ARG002
        return json.dumps(_finite(value), ensure_ascii=True, allow_nan=False)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ARG002
        return None if value is None else json.loads(value)


class CompactJson(TypeDecorator[Any]):
    """A JSON value as ASCII text without blanks; None is a null of the database's. Keeps NaN as Python's `NaN`."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else _compact(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ARG002
        return None if value is None else json.loads(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
