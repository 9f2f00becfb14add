"""The editable line ranges of a task: ascending, apart, and inside the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise


def range_problems(ranges: Sequence[Sequence[int]], total: int) -> Iterator[str]:
    """What is wrong with 1-based inclusive `ranges` in a file of `total` lines, one sentence each."""
    for first, last in ranges:
        if last < first:
            yield f"[{first}, {last}] is inverted; a range is [first line, last line]"
        elif last > total:
            yield f"[{first}, {last}] is out of the file; it has {total} lines"
    for (first, last), (next_first, next_last) in pairwise(ranges):
        pair = f"[{first}, {last}] and [{next_first}, {next_last}]"
        if next_last < first:
            yield f"{pair} are out of order; write the ranges in ascending order"
        elif next_first <= last:
            yield f"{pair} overlap; keep at least one fixed line between ranges"
        elif next_first == last + 1:
            yield f"{pair} touch; join them to [{first}, {next_last}] or keep at least one fixed line between"
