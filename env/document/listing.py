"""How a document is shown to an agent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from env.document.document import Document
from env.document.refused import EditRefused

# A range is shown whole up to this length; of a longer one the first and last lines tell where it begins and ends.
_WHOLE = 8
_ENDS = 3


def ranges_text(document: Document) -> str:
    """`22–38, 95–107`; an emptied range tells where to insert: `22–21 (empty: insert after line 21)`."""
    return ", ".join(
        f"{start}–{end}" if start <= end else f"{start}–{end} (empty: insert after line {end})"
        for start, end in document.ranges
    )


def current_file(document: Document) -> str:
    """The state after an edit: a header, and the beginning and end of each editable range."""
    rows = [_header(document)]
    for index, ((start, _), segment) in enumerate(zip(document.ranges, document.editable, strict=True)):
        if index:
            rows.append("...")
        lines = segment.lines
        if len(lines) <= _WHOLE:
            rows.extend(_numbered(lines, start))
        else:
            rows.extend(_numbered(lines[:_ENDS], start))
            rows.append(f"       ... ({len(lines) - 2 * _ENDS} more lines) ...")
            rows.extend(_numbered(lines[-_ENDS:], start + len(lines) - _ENDS))
    return "\n".join(rows)


def excerpt(document: Document) -> Iterator[tuple[int, Sequence[str]]]:
    """The lines that `current_file` shows: the number of the first, and those that follow it."""
    for (start, _), segment in zip(document.ranges, document.editable, strict=True):
        lines = segment.lines
        if len(lines) <= _WHOLE:
            yield start, lines
        else:
            yield start, lines[:_ENDS]
            yield start + len(lines) - _ENDS, lines[-_ENDS:]


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
    return "\n".join((_header(document), *_numbered(lines, first)))


def listing(document: Document) -> str:
    """The whole file with line numbers, as a prompt shows it."""
    marks = ", ".join(f"lines {start}–{end}" for start, end in document.ranges)
    rows = (f"{number:6d}: {line}" for number, line in enumerate(document.lines, 1))
    return "\n".join((f"{document.filename} [EDITABLE — {marks} only]", "", *rows))


def _header(document: Document) -> str:
    ranges, total = ranges_text(document), document.total_lines
    return f"[Current file: {document.filename} | editable: {ranges} | total: {total} lines]"


def numbered(lines: Mapping[int, str]) -> list[str]:
    """Lines that need not follow each other, by their numbers, as they are shown after an edit."""
    return [f"{number:6d}  {line}" for number, line in lines.items()]


def _numbered(lines: Sequence[str], start: int) -> list[str]:
    return [f"{number:6d}  {line}" for number, line in enumerate(lines, start)]
