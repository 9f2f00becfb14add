"""The edits of a document: each is a value, works inside one editable segment, and applies whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from env.document.content import accepted, check_size, normalised, split_lines
from env.document.document import Document
from env.document.listing import quoted, ranges_text
from env.document.near_miss import explain_miss
from env.document.refused import EditRefused

# Enough places to tell an agent; the rest of a pathological file is not searched.
_MOST_PLACES = 10


@dataclass(frozen=True)
class Replace:
    """Lines start_line to end_line, 1-based and inclusive, become those of `content`; "" deletes them."""

    start_line: int
    end_line: int
    content: str


@dataclass(frozen=True)
class Insert:
    """The lines of `content` go behind line `after_line`; a range's first line minus one is its beginning."""

    after_line: int
    content: str


@dataclass(frozen=True)
class StrReplace:
    """`old_str`, which must occur once in all editable segments, becomes `new_str`."""

    old_str: str
    new_str: str


Op = Replace | Insert | StrReplace
_KINDS: Mapping[str, type[Op]] = {"replace": Replace, "insert": Insert, "str_replace": StrReplace}
OPERATIONS: Mapping[str, tuple[str, ...]] = {
    name: tuple(field.name for field in fields(kind)) for name, kind in _KINDS.items()
}
"""What each operation takes, by the name that it has in edit calls and in baselines' files."""


def operation(name: str, given: Mapping[str, Any]) -> Op:
    """The operation of that name; `given` holds all that it takes, and may hold more."""
    return _KINDS[name](**{key: given[key] for key in OPERATIONS[name]})


@dataclass(frozen=True)
class Applied:
    """What an edit came to: the new document, and what was done in words."""

    document: Document
    what: str
    """For the observation, e.g. `Replaced lines 22..31 with 17 line(s)`."""
    lines: tuple[int, int] | None = None
    """The lines it went by, 1-based and inclusive, as the document was before; None if it went by none."""
    inserted: bool = False
    """Whether these lines are still there, and the new ones beside them."""


def apply(document: Document, op: Op, *, max_bytes: int) -> Applied:
    """The document after the edit. `max_bytes` caps the file, UTF-8. Raises EditRefused."""
    match op:
        case Replace():
            applied = _replace(document, op, max_bytes)
        case Insert():
            applied = _insert(document, op, max_bytes)
        case StrReplace():
            applied = _str_replace(document, op, max_bytes)
    size = applied.document.size
    if size > document.size:  # making a file smaller is always a step in the right direction
        check_size(size, max_bytes)
    return applied


def _replace(document: Document, op: Replace, max_bytes: int) -> Applied:
    index = _range_of(document, op.start_line, op.end_line)
    new = split_lines(accepted("content", op.content, max_bytes))
    old, offset = document.editable[index].lines, document.ranges[index][0]
    lines = (*old[: op.start_line - offset], *new, *old[op.end_line - offset + 1 :])
    what = f"Replaced lines {op.start_line}..{op.end_line} with {len(new)} line(s)"
    return Applied(document.with_segment(index, lines), what, (op.start_line, op.end_line))


def _range_of(document: Document, start: int, end: int) -> int:
    for index, (first, last) in enumerate(document.ranges):
        if first <= start <= end <= last:
            return index
    allowed = f"You may only edit lines {ranges_text(document)}."
    if start < 1 or end < 1:
        raise EditRefused("bad_lines", f"Lines {start}..{end} do not exist: line numbers begin at 1. {allowed}")
    if end < start:
        raise EditRefused("bad_lines", f"end_line {end} is before start_line {start}. {allowed}")
    if end > document.total_lines:
        raise EditRefused(
            "beyond_end", f"Lines {start}..{end} go beyond the end of the file, line {document.total_lines}. {allowed}"
        )
    raise EditRefused("outside_editable", f"Lines {start}..{end} exceed the editable range. {allowed}")


def _insert(document: Document, op: Insert, max_bytes: int) -> Applied:
    after = op.after_line
    index = next((i for i, (first, last) in enumerate(document.ranges) if first - 1 <= after <= last), None)
    if index is None:
        places = ", ".join(f"{first - 1}–{last}" for first, last in document.ranges)
        raise EditRefused(
            "outside_editable", f"Line {after} is outside the editable range. You may only insert after lines {places}."
        )
    new = split_lines(accepted("content", op.content, max_bytes))
    if not new:
        raise EditRefused("no_change", 'content is empty: there is nothing to insert. A blank line is "\\n".')
    first, old = document.ranges[index][0], document.editable[index].lines
    position = after - first + 1
    what = f"Inserted {len(new)} line(s) after line {after}"
    beside = max(after, first)  # a range's first line rather than the fixed one before it, which no answer shows
    changed = document.with_segment(index, (*old[:position], *new, *old[position:]))
    return Applied(changed, what, (beside, beside) if old else None, inserted=True)


def _str_replace(document: Document, op: StrReplace, max_bytes: int) -> Applied:
    old, new = normalised(op.old_str), accepted("new_str", op.new_str, max_bytes)
    if not old:
        raise EditRefused("empty_old_str", "old_str is empty. Give the exact text to replace, or use op=insert.")
    places = list(_occurrences(document, old))
    if not places:
        raise EditRefused("not_found", _where_else(document, old))
    if len(places) > 1:
        raise EditRefused("not_unique", _too_often(document, places))
    [(index, position)] = places
    segment = document.editable[index]
    lines = split_lines(segment.text[:position] + new + segment.text[position + len(old) :])
    if lines == segment.lines:
        raise EditRefused("no_change", "The edit would change nothing: new_str leaves the file as it is.")
    first = _line_of(document, index, position)
    last = first + old.count("\n", 0, len(old) - 1)
    where = f"line {first}" if first == last else f"lines {first}..{last}"
    return Applied(document.with_segment(index, lines), f"Replaced old_str at {where}")


def _occurrences(document: Document, old: str) -> Iterator[tuple[int, int]]:
    """Editable segment and position of each occurrence, overlapping ones too; stops at one more than will be told."""
    count = 0
    for index, segment in enumerate(document.editable):
        position = segment.text.find(old)
        while position >= 0:
            yield index, position
            count += 1
            if count > _MOST_PLACES:
                return
            position = segment.text.find(old, position + 1)


def _line_of(document: Document, index: int, position: int) -> int:
    return document.ranges[index][0] + document.editable[index].text.count("\n", 0, position)


def _too_often(document: Document, places: list[tuple[int, int]]) -> str:
    often = f"{len(places)} times" if len(places) <= _MOST_PLACES else f"more than {_MOST_PLACES} times"
    numbers = [_line_of(document, *place) for place in places[:_MOST_PLACES]]
    told = (
        f"old_str occurs {often} in the editable range, at lines {', '.join(map(str, numbers))}; it must occur exactly "
        "once. Give more of the text around it, or use op=replace."
    )
    return "\n".join((told, *quoted(document, dict.fromkeys(numbers))))


def _where_else(document: Document, old: str) -> str:
    allowed = f"You may only edit lines {ranges_text(document)}."
    position = document.text.find(old)
    if position < 0:
        why = explain_miss(document, old)
        told = f"{why} {allowed}" if why else allowed
        return f"old_str does not occur in the file; it must match exactly, indentation included. {told}"
    first = document.text.count("\n", 0, position) + 1
    last = first + old.count("\n", 0, len(old) - 1)
    where = f"at line {first}, which is" if first == last else f"at lines {first}..{last}, which are"
    return f"old_str occurs only {where} not all inside one editable range. {allowed}"
