"""A table as CSV that is safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from leaderboard.table import Cell

# A spreadsheet takes cells that begin like this for formulas (OWASP, "CSV Injection"); agents choose their own names.
_FORMULA = re.compile(r"[=+\-@\t\r\n]")
_AT_ONCE = 500
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def to_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Cell]]) -> Iterator[str]:
    """Write columns and rows as RFC 4180 text, header first, lines ended by CRLF; in pieces of some hundred rows.

    None is an empty cell. Text that a spreadsheet would run as a formula gets an apostrophe in front.
    """
    left = iter(rows)
    some = [dict(zip(columns, columns, strict=True)), *islice(left, _AT_ONCE)]
    while some:
        out = io.StringIO()
        csv.writer(out, lineterminator="\r\n").writerows([[_cell(row[name]) for name in columns] for row in some])
        yield out.getvalue()
        some = list(islice(left, _AT_ONCE))


def _cell(value: Cell) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.fullmatch(value):
        return "'" + value
    return str(value)
