"""Shorten a traceback's frames: paths without the host's folders, and libraries' inner calls left out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

_INSTALLED = re.compile(r'(  File ")[^"]*/(?:site|dist)-packages/(([^"/]+)[^"]*".*)')


def shortened(frames: Sequence[str]) -> list[str]:
    """The same lines, with calls from one library function to the next in one line.

    The last frame of all is kept whatever it is in: it raised the exception.
    """
    blocks = list(_blocks(frames))
    last = len(blocks) - 1
    lines: list[str] = []
    for library, group in groupby(enumerate(blocks), key=lambda item: None if item[0] == last else _library(item[1])):
        inner = [block for _, block in group]
        if library is None or len(inner) == 1:
            lines += [_without_folders(line) for block in inner for line in block]
        else:
            lines.append(f"  [... {len(inner)} calls inside {library} ...]")
    return lines


def _blocks(frames: Sequence[str]) -> Iterator[list[str]]:
    """Each frame with the lines of code below it; other lines alone."""
    block: list[str] = []
    for line in frames:
        if block and not line.startswith("    "):
            yield block
            block = []
        block.append(line)
    if block:
        yield block


def _library(block: Sequence[str]) -> str | None:
    installed = _INSTALLED.match(block[0])
    return installed[3] if installed else None


def _without_folders(line: str) -> str:
    return _INSTALLED.sub(r"\1\2", line)
