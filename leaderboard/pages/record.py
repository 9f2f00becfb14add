"""A result's integrity record for reading: the audits as a table, everything else as nested definitions.

Works on whatever the record holds: what it knows gets a better title and unit, what it does not is shown all the same.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from leaderboard.pages import figures

MAX_DEPTH = 6
MAX_TEXT = 2000
_SHORT = 40
_PLAIN = re.compile(r"[a-z][a-z0-9_]*")
_LAST_SECOND = 253402300800  # of the year 9999
_AUDIT_KEYS = {"name", "passed", "figure", "limit"}
_TITLES = {
    "checkpoint_sha256": "Checkpoint, SHA-256",
    "code_sha256": "Code under test, SHA-256",
    "template_sha256": "Template, SHA-256",
    "template_unmodified": "Template unmodified",
    "ringfence": "Ringfence version",
    "world_size": "Processes",
    "machine": "Machine",
    "settings": "Settings",
    "runs": "Runs, timed by their host",
    "max_parameters": "Parameters allowed",
}


@dataclass(frozen=True, kw_only=True)
class ShownAudit:
    """One audit as a row of text cells."""

    name: str
    stage: str
    """Label of the stage whose evaluation it was part of; empty when the record does not say."""
    passed: bool
    figure: str
    limit: str
    unit: str
    samples: str
    where: str


@dataclass(frozen=True)
class Definition:
    """A title with a text, or with entries of its own, or with a table."""

    title: str
    text: str = ""
    entries: tuple[Definition, ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()

    @property
    def compact(self) -> bool:
        """Short texts only: they fit beside each other."""
        return bool(self.entries) and all(entry.text and len(entry.text) <= _SHORT for entry in self.entries)


@dataclass(frozen=True)
class RecordView:
    """An integrity record for reading: its audits, and everything else in its own order."""

    audits: tuple[ShownAudit, ...]
    entries: tuple[Definition, ...]

    @property
    def passed(self) -> int:
        return sum(audit.passed for audit in self.audits)


def record_view(record: Mapping[str, Any]) -> RecordView:
    """The record as a page shows it; `record` is a JSON object with anything in it."""
    audits, rest = _audits(record, _stages(record))
    return RecordView(tuple(audits), tuple(_entry(str(key), value, 0) for key, value in rest.items()))


def _stages(record: Mapping[str, Any]) -> dict[str, str]:
    """By run."""
    runs = record.get("runs")
    known = runs if isinstance(runs, list) and _is_table(runs) else []
    return {str(run.get("run")): str(run.get("stage", "")) for run in known}


def _audits(record: Mapping[str, Any], stages: Mapping[str, str]) -> tuple[list[ShownAudit], dict[str, Any]]:
    """The audits, wherever on the first two levels they are, and the record without them."""
    found: list[ShownAudit] = []
    rest: dict[str, Any] = {}
    for key, value in record.items():
        if _are_audits(value):
            found += [_audit(item, stages) for item in value]
        elif isinstance(value, Mapping) and any(_are_audits(inner) for inner in value.values()):
            inner_found, rest[key] = _audits(value, stages)
            found += inner_found
        else:
            rest[key] = value
    return found, rest


def _are_audits(value: Any) -> bool:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and bool(value)
        and all(isinstance(item, Mapping) and item.keys() >= _AUDIT_KEYS for item in value)
    )


def _audit(item: Mapping[str, Any], stages: Mapping[str, str]) -> ShownAudit:
    def text(key: str) -> str:
        return "" if item.get(key) in (None, "") else _text(key, item[key])

    return ShownAudit(
        name=text("name"),
        stage=stages.get(str(item.get("run")), ""),
        passed=item["passed"] is True,
        figure=text("figure"),
        limit=text("limit"),
        unit=text("unit"),
        samples=text("samples"),
        where=text("where"),
    )


def _entry(key: str, value: Any, depth: int) -> Definition:
    title = _TITLES.get(key) or (key.replace("_", " ") if _PLAIN.fullmatch(key) else key)
    if depth == 0 and _PLAIN.fullmatch(key):
        title = title[:1].upper() + title[1:]
    if isinstance(value, Mapping) and value and depth < MAX_DEPTH:
        return Definition(title, entries=tuple(_entry(str(name), inner, depth + 1) for name, inner in value.items()))
    if _is_table(value):
        columns = tuple(dict.fromkeys(str(name) for item in value for name in item))
        rows = tuple(tuple(_text(name, item.get(name)) for name in columns) for item in value)
        return Definition(title, columns=tuple(name.replace("_", " ") for name in columns), rows=rows)
    return Definition(title, _text(key, value))


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, Mapping) and item for item in value)


def _text(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float) and key.endswith("_at") and 0 < value < _LAST_SECOND:
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, int | float) and key.endswith("_s"):
        return figures.duration(value)
    if isinstance(value, int | float) and math.isfinite(value):
        return figures.count(int(value)) if value == int(value) else figures.short(value)
    if value is None or isinstance(value, float):
        return figures.ABSENT
    if isinstance(value, list) and not any(isinstance(item, list | Mapping) for item in value):
        return _short(", ".join(_text(key, item) for item in value)) or figures.ABSENT
    if isinstance(value, Mapping) and not any(isinstance(item, list | Mapping) for item in value.values()):
        return _short(", ".join(f"{name} {_text(str(name), item)}" for name, item in value.items())) or figures.ABSENT
    return _short(str(value)) or figures.ABSENT


def _short(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"
