"""Numbers and times as a reader sees them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import datetime

ABSENT = "–"


def decimals(values: Iterable[object]) -> int:
    """How many decimal places a column of these values gets: losses four, percentages and perplexities two."""
    known = [abs(value) for value in values if isinstance(value, int | float) and math.isfinite(value)]
    return 4 if not known or max(known) < 10 else 2


def figure(value: object, places: int | None = None) -> str:
    """A number with `places` decimal places, or as many as its size asks for. Anything else as text, None as a dash."""
    if value is None:
        return ABSENT
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        return ABSENT
    if abs(value) >= 1e6 or (places is None and value and abs(value) < 1e-3):
        return short(value, 3)
    return f"{value:.{decimals([value]) if places is None else places}f}"


def short(value: float, digits: int = 4) -> str:
    """A number with so many significant digits, however large or small it is: `0.001`, `3.47e-7`."""
    return re.sub(r"e([+-])0", r"e\1", f"{value:.{digits}g}").replace("e+", "e")


def digest(value: str | None) -> str:
    """The beginning of a SHA-256, enough to tell those of one service apart; `not recorded` for None."""
    return "not recorded" if value is None else value[:8]


def count(value: int) -> str:
    """A whole number with narrow spaces between thousands: `12 030`."""
    return f"{value:,}".replace(",", "\u202f")


def duration(seconds: float | None) -> str:
    """Seconds in the two largest units: `48.2 s`, `12 min 04 s`, `5 h 42 min`."""
    if seconds is None or not math.isfinite(seconds):
        return ABSENT
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def moment(text: str | None) -> str:
    """An ISO 8601 time in UTC, to the minute: `2026-11-03 12:34`."""
    if not text:
        return ABSENT
    return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M")
