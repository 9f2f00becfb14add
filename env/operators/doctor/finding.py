"""What an examination of the host found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    WARNING = "warning"  # the service starts, but something will be missing
    PROBLEM = "problem"  # the service will not start, or no test will run


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it is, and what to do about it."""

    subject: str
    """What was looked at: `engine`, `disk`."""
    level: Level
    seen: str
    remedy: str = ""
    """What to do about it; empty when ok."""


def ok(subject: str, seen: str) -> Finding:
    return Finding(subject, Level.OK, seen)


def warning(subject: str, seen: str, remedy: str) -> Finding:
    return Finding(subject, Level.WARNING, seen, remedy)


def problem(subject: str, seen: str, remedy: str) -> Finding:
    return Finding(subject, Level.PROBLEM, seen, remedy)
