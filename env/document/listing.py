"""How a document is shown to an agent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from env.document.document import Document
from env.document.refused import EditRefused

# A range is shown whole up to this length; of a longer one the first and last lines tell where it begins and ends.
_WHOLE = 8
_ENDS = 3
_MOST_QUOTED = 200
"""Characters of a line."""


def ranges_text(document: Document) -> str:
    """`22–38, 95–107`; an emptied range tells where to insert: `22–21 (empty: insert after line 21)`."""
    return ", ".join(
        f"{start}–{end}" if start <= end else f"{start}–{end} (empty: insert after line {end})"
        for start, end in document.ranges
    )


def current_file(document: Document) -> str:
    """The state after an edit: a header, and the beginning and end of each editable range."""
    rows = [_header(document)]
    for index, parts in enumerate(excerpt(document)):
        if index:
            rows.append("...")
        for part, (start, lines) in enumerate(parts):
            if part:
                before, shown = parts[part - 1]
                rows.append(f"       ... ({start - before - len(shown)} more lines) ...")
            rows.extend(numbered(enumerate(lines, start)))
    return "\n".join(rows)


def excerpt(document: Document) -> Iterator[list[tuple[int, Sequence[str]]]]:
    """What `current_file` shows of each editable range: the number of a first line, and it with those that follow."""
    for (start, _), segment in zip(document.ranges, document.editable, strict=True):
        lines = segment.lines
        if len(lines) <= _WHOLE:
            yield [(start, lines)]
        else:
            yield [(start, lines[:_ENDS]), (start + len(lines) - _ENDS, lines[-_ENDS:])]


def view(document: Document, start: int | None = None, end: int | None = None) -> str:
    """The same header, and the lines asked for; up to the file's last when `end` lies behind it.

    Raises EditRefused (bad_lines).
    """
    first, last = start if start is not None else 1, end if end is not None else document.total_lines
    lines = document.lines[first - 1 : last] if first >= 1 and last >= 1 else ()
    if not lines and document.lines:
        raise EditRefused(
            "bad_lines", f"There are no lines {first}..{last}. You may view lines 1–{document.total_lines}."
        )
    return "\n".join((_header(document), *numbered(enumerate(lines, first))))


def listing(document: Document) -> str:
    """The whole file with line numbers, as a prompt shows it."""
    marks = ", ".join(f"lines {start}–{end}" for start, end in document.ranges)
    rows = (f"{number:6d}: {line}" for number, line in enumerate(document.lines, 1))
    return "\n".join((f"{document.filename} [EDITABLE — {marks} only]", "", *rows))


def _header(document: Document) -> str:
    ranges, total = ranges_text(document), document.total_lines
    return f"[Current file: {document.filename} | editable: {ranges} | total: {total} lines]"


def quoted(document: Document, numbers: Iterable[int]) -> list[str]:
    """Lines by their numbers, the beginning of long ones, as they are shown after an edit."""
    return numbered((number, document.lines[number - 1][:_MOST_QUOTED]) for number in numbers)


def numbered(lines: Iterable[tuple[int, str]]) -> list[str]:
    """Each line behind its number, as after an edit."""
    return [f"{number:6d}  {line}" for number, line in lines]
