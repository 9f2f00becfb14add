"""What changed between two states of a text: hunks of lines with a little of what surrounds them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import accumulate, islice
from typing import Literal

CONTEXT = 3
MAX_LINES = 240
MAX_LINE_CHARS = 400
MAX_CHARS = 12_000
_MAX_PAIRS = 20_000
"""Of equal lines, one from each side. With more of them nothing is matched: the time for it grows with their number."""

Kind = Literal["same", "removed", "added"]


@dataclass(frozen=True)
class Line:
    kind: Kind
    number: int
    """1-based, in the state after the change; of a removed line, before it."""
    text: str


@dataclass(frozen=True)
class Difference:
    filename: str
    hunks: tuple[tuple[Line, ...], ...]
    added: int
    removed: int
    left_out: int = 0
    """Lines over MAX_LINES or MAX_CHARS, not in `hunks`."""


def difference(filename: str, before: str, after: str) -> Difference:
    """The change of one file: at most MAX_LINES lines, MAX_LINE_CHARS characters of each and MAX_CHARS in all."""
    old, new = (text.split("\n") if text else [] for text in (before, after))
    hunks: list[tuple[Line, ...]] = []
    added = removed = shown = chars = left_out = 0
    for hunk in _hunks(old, new):
        lines = [Line(line.kind, line.number, _cut(line.text)) for line in hunk]
        added += sum(line.kind == "added" for line in lines)
        removed += sum(line.kind == "removed" for line in lines)
        sizes = accumulate((len(line.text) for line in lines), initial=chars)
        room = sum(size < MAX_CHARS for size in islice(sizes, len(lines)))
        kept = lines[: max(0, min(room, MAX_LINES - shown))]
        shown += len(kept)
        chars += sum(len(line.text) for line in kept)
        left_out += len(lines) - len(kept)
        if kept:
            hunks.append(tuple(kept))
    return Difference(filename, tuple(hunks), added, removed, left_out)


def _hunks(old: Sequence[str], new: Sequence[str]) -> Iterator[list[Line]]:
    # What both begin and end with needs no matching, and that is nearly everything.
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    first = max(0, start - CONTEXT)
    tail = max(0, end - CONTEXT)
    a, b = list(old[first : len(old) - tail]), list(new[first : len(new) - tail])
    if a == b:
        return
    popular = Counter(b)
    if sum(popular[text] for text in a) > _MAX_PAIRS:
        yield [
            *(Line("removed", first + i, text) for i, text in enumerate(a, 1)),
            *(Line("added", first + i, text) for i, text in enumerate(b, 1)),
        ]
        return
    for group in SequenceMatcher(None, a, b, autojunk=False).get_grouped_opcodes(CONTEXT):
        hunk: list[Line] = []
        for tag, a1, a2, b1, b2 in group:
            if tag == "equal":
                hunk += (Line("same", first + i + 1, b[i]) for i in range(b1, b2))
            else:
                hunk += (Line("removed", first + i + 1, a[i]) for i in range(a1, a2))
                hunk += (Line("added", first + i + 1, b[i]) for i in range(b1, b2))
        yield hunk


def _cut(text: str) -> str:
    return text if len(text) <= MAX_LINE_CHARS else f"{text[:MAX_LINE_CHARS]}…"
