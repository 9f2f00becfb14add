"""A file of which only some line ranges may change: alternating fixed and editable segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, zip_longest

from env.document.content import accepted, check_size, split_lines


@dataclass(frozen=True)
class Segment:
    """Consecutive lines, without their newlines. Shared between the documents that agree on them."""

    lines: tuple[str, ...] = ()

    @cached_property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n" if self.lines else ""

    @cached_property
    def size(self) -> int:
        """In UTF-8 bytes, newlines included."""
        return len(self.text.encode())


@dataclass(frozen=True)
class Document:
    """`fixed[0] editable[0] fixed[1] … editable[n-1] fixed[n]`; only the first and last fixed may be empty.

    Edits make documents with other editable segments and the very same fixed ones. What is derived is computed once.
    """

    filename: str
    fixed: tuple[Segment, ...]
    editable: tuple[Segment, ...]

    @staticmethod
    def open(filename: str, text: str, editable: Sequence[tuple[int, int]]) -> Document:
        """A file with newline line ends, and 1-based inclusive ranges with at least one fixed line between them.

        A missing newline at the end of the file is added.
        """
        assert editable, "a document without an editable range"
        lines = split_lines(text)
        fixed: list[Segment] = []
        free: list[Segment] = []
        position = 0
        for start, end in editable:
            assert start > position + bool(free), f"no fixed line before {start}–{end}"
            assert start - 1 <= end <= len(lines), f"no such lines: {start}–{end}"
            fixed.append(Segment(lines[position : start - 1]))
            free.append(Segment(lines[start - 1 : end]))
            position = end
        fixed.append(Segment(lines[position:]))
        return Document(filename, tuple(fixed), tuple(free))

    @staticmethod
    def created(filename: str, text: str, max_bytes: int | None = None) -> Document:
        """A wholly editable file of an agent's text. Raises EditRefused (bad_content, too_large)."""
        segment = Segment(split_lines(accepted("content", text, max_bytes)))
        if max_bytes is not None:
            check_size(segment.size, max_bytes)
        return Document(filename, (Segment(), Segment()), (segment,))

    @cached_property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """The editable ranges now, 1-based inclusive; one emptied before line k is (k, k - 1)."""
        ranges, position = [], 0
        for fixed, free in zip(self.fixed, self.editable, strict=False):
            start = position + len(fixed.lines) + 1
            position = start + len(free.lines) - 1
            ranges.append((start, position))
        return tuple(ranges)

    @cached_property
    def total_lines(self) -> int:
        return self.ranges[-1][1] + len(self.fixed[-1].lines)

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """All of them in the file's order: 0, 2, 4 … are fixed, 1, 3, 5 … editable."""
        pairs = zip_longest(self.fixed, self.editable)
        return tuple(segment for segment in chain.from_iterable(pairs) if segment is not None)

    @cached_property
    def lines(self) -> tuple[str, ...]:
        return tuple(chain.from_iterable(segment.lines for segment in self.segments))

    @cached_property
    def text(self) -> str:
        """The whole file, every line ended by a newline."""
        return "".join(segment.text for segment in self.segments)

    @cached_property
    def size(self) -> int:
        """In UTF-8 bytes."""
        return sum([segment.size for segment in self.fixed]) + sum([segment.size for segment in self.editable])

    def editable_texts(self) -> tuple[tuple[str, ...], ...]:
        """The lines of each editable segment: with the file as opened, all there is to store."""
        return tuple(segment.lines for segment in self.editable)

    def with_editable(self, texts: Sequence[Sequence[str]]) -> Document:
        """The inverse of `editable_texts`, on the file as opened or any later state of it."""
        assert len(texts) == len(self.editable), "lines of another document"
        return Document(self.filename, self.fixed, tuple(Segment(tuple(lines)) for lines in texts))

    def with_segment(self, index: int, lines: tuple[str, ...]) -> Document:
        """The document with other lines in one editable segment."""
        free = (*self.editable[:index], Segment(lines), *self.editable[index + 1 :])
        return Document(self.filename, self.fixed, free)
