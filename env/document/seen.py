"""What an agent was last shown under each line number: edits that go by older numbers can be told by it."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import chain

from env.document.document import Document
from env.document.edit import Applied
from env.document.listing import excerpt, quoted

_NOTHING = 0
"""Under this number nothing was shown yet."""
_MOST_TOLD = 20


class Seen:
    """Of one file. Keeps a number for each line instead of its text."""

    def __init__(self, document: Document) -> None:
        """As it was opened, when all of it was shown."""
        self._marks = array("q", map(_mark, document.lines))

    def show(self, lines: Sequence[str], start: int) -> None:
        """These lines were shown, the first of them as line `start`."""
        missing = start - 1 + len(lines) - len(self._marks)
        if missing > 0:
            self._marks.extend([_NOTHING] * missing)
        self._marks[start - 1 : start - 1 + len(lines)] = array("q", map(_mark, lines))

    def show_excerpt(self, document: Document) -> None:
        """The answer to an edit was shown: the beginnings and ends of the editable ranges."""
        for start, lines in chain.from_iterable(excerpt(document)):
            self.show(lines, start)

    def doubt(self, document: Document, applied: Applied) -> str:
        """What an edit replaced, where that does not begin and end as was last shown under its numbers; else nothing.

        `document` is the file before the edit.
        """
        if applied.lines is None:
            return ""
        start, end = applied.lines
        if self._shown(document, start) and self._shown(document, end):
            return ""
        if applied.inserted:
            told = "The new lines stand beside this one"
        else:
            told = "The edit replaced this"
        return (
            "\n\n[NOTE] The file has changed since these line numbers were last shown to you with a text. "
            f"{told}; undo takes the edit back:\n{_quoted(document, start, end)}"
        )

    def _shown(self, document: Document, number: int) -> bool:
        """Whether a line is what was last shown under its number."""
        return self._marks[number - 1 : number] == array("q", (_mark(document.lines[number - 1]),))


def _quoted(document: Document, start: int, end: int) -> str:
    last = min(end, start + _MOST_TOLD - 1)
    left_out = [f"       ... ({end - last} more lines) ..."] if end > last else []
    return "\n".join((*quoted(document, range(start, last + 1)), *left_out))


def _mark(line: str) -> int:
    return hash(line) or 1
