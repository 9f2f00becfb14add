"""Unified diffs applied strictly: no fuzz, no offset, every context line checked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_HEADER = re.compile(r"@@ -(\d{1,7})(?:,(\d{1,7}))? \+(\d{1,7})(?:,(\d{1,7}))? @@(?: .*)?")


class PatchError(Exception):
    """A diff that does not fit its base, or is no unified diff.

    `hunk` counts from 1 (0: before the first one); `line` is the 1-based line of the diff itself.
    """

    def __init__(self, hunk: int, line: int, message: str) -> None:
        super().__init__(f"line {line}, hunk {hunk}: {message}")
        self.hunk = hunk
        self.line = line
        self.message = message


@dataclass
class _Hunk:
    number: int
    line: int
    """Line of its header in the diff."""
    start: int
    """Lines of the base before it."""
    removed: int
    new_start: int
    added: int
    body: list[tuple[int, str]] = field(default_factory=list)
    """Line number in the diff, and the line with its mark."""


def apply_diff(base: str, diff: str) -> str:
    """The text that `diff` makes of `base`; both end in a newline. Raises PatchError.

    Takes the unified format of POSIX diff(1) for one file: `---` and `+++`, then hunks in ascending order.
    """
    old = base.split("\n")[:-1]
    new: list[str] = []
    position = 0
    for hunk in _hunks(diff):
        if not position <= hunk.start <= len(old):
            raise PatchError(hunk.number, hunk.line, f"starts at line {hunk.start + 1}, out of order or past the end")
        new += old[position : hunk.start]
        if len(new) != hunk.new_start:
            raise PatchError(hunk.number, hunk.line, f"says it makes line {hunk.new_start + 1}, not {len(new) + 1}")
        position = hunk.start
        for line, marked in hunk.body:
            mark, text = marked[0], marked[1:]
            if mark != "+":
                found = old[position] if position < len(old) else None
                if text != found:
                    raise PatchError(hunk.number, line, f"expects {text!r} at base line {position + 1}, not {found!r}")
                position += 1
            if mark != "-":
                new.append(text)
    return "\n".join([*new, *old[position:], ""])


def _hunks(diff: str) -> Iterator[_Hunk]:
    lines = diff.split("\n")
    if lines.pop() != "":
        raise PatchError(0, len(lines) + 1, "the diff does not end in a newline")
    if len(lines) < 3 or not lines[0].startswith("--- ") or not lines[1].startswith("+++ "):
        raise PatchError(0, 1, "expected the lines --- and +++, then a hunk")
    number, at = 0, 2
    while at < len(lines):
        number += 1
        header = _HEADER.fullmatch(lines[at])
        if header is None:
            raise PatchError(number, at + 1, f"expected a hunk header, not {lines[at]!r}")
        old_start, removed, new_start, added = (1 if part is None else int(part) for part in header.groups())
        # An empty side is numbered by the line before it.
        hunk = _Hunk(
            number=number,
            line=at + 1,
            start=old_start - 1 if removed else old_start,
            removed=removed,
            new_start=new_start - 1 if added else new_start,
            added=added,
        )
        at += 1
        while removed or added:
            marked = lines[at] if at < len(lines) else ""
            mark = marked[:1]
            if mark not in (" ", "-", "+") or not mark:
                raise PatchError(number, at + 1, f"ends {removed} old and {added} new lines early")
            removed -= mark != "+"
            added -= mark != "-"
            if removed < 0 or added < 0:
                raise PatchError(number, at + 1, "has more lines than its header says")
            hunk.body.append((at + 1, marked))
            at += 1
        yield hunk
