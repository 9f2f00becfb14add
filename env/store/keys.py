"""Keys of a session's tests and probes: whole numbers that tell the two apart, and their forms in words and names.

Tests and probes are each numbered from 1. A test's key is its number; that of a probe is its number below 0.
"""

from __future__ import annotations


def key_of_probe(number: int) -> int:
    """The key of the probe with this number, from 1."""
    return -number


def is_probe(key: int) -> bool:
    """Whether it is a probe's key."""
    return key < 0


def name_of(key: int) -> str:
    """What readers call it: `Test #1`, `Probe #1`."""
    return f"{'Probe' if is_probe(key) else 'Test'} #{abs(key)}"


def key_text(key: int) -> str:
    """The key as a part of a run's name: `1`, of a probe `p1`."""
    return f"p{abs(key)}" if is_probe(key) else str(key)


def key_from_text(text: str) -> int:
    """The inverse of `key_text`. Raises ValueError."""
    return key_of_probe(int(text[1:])) if text.startswith("p") else int(text)
