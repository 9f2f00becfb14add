"""A table as CSV that is safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
import re

from leaderboard.table import Cell, Table

# A spreadsheet takes cells that begin like this for formulas (OWASP, "CSV Injection"); agents choose their own names.
_FORMULA = re.compile(r"[=+\-@\t\r\n]")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def to_csv(table: Table) -> str:
    """Write the table's columns and rows as RFC 4180 text, header first, lines ended by CRLF.

    None is an empty cell. Text that a spreadsheet would run as a formula gets an apostrophe in front.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([_cell(name) for name in table.columns])
    writer.writerows([[_cell(row[name]) for name in table.columns] for row in table.rows])
    return out.getvalue()


def _cell(value: Cell) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.fullmatch(value):
        return "'" + value
    return str(value)
