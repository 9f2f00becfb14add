"""A ring-fenced file as blocks: fixed lines and editable ranges in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Block:
    """Consecutive lines that are all editable or all fixed."""

    first: int
    """1-based number of the first line."""
    lines: tuple[str, ...]
    editable: bool

    @property
    def last(self) -> int:
        return self.first + len(self.lines) - 1

    @property
    def where(self) -> str:
        return f"line {self.first}" if len(self.lines) == 1 else f"lines {self.first}–{self.last}"

    @property
    def numbered(self) -> list[tuple[int, str]]:
        return list(enumerate(self.lines, self.first))


def blocks(text: str, editable: Sequence[Sequence[int]]) -> list[Block]:
    """The file's blocks from top to bottom; `editable` are its inclusive 1-based ranges, ascending."""
    lines = text.removesuffix("\n").split("\n")
    found: list[Block] = []
    after = 0  # how many lines are in a block already
    for first, last in editable:
        if first - 1 > after:
            found.append(Block(after + 1, tuple(lines[after : first - 1]), False))
        found.append(Block(first, tuple(lines[first - 1 : last]), True))
        after = last
    if after < len(lines):
        found.append(Block(after + 1, tuple(lines[after:]), False))
    return [block for block in found if block.lines]
