"""What the lint found."""

from __future__ import annotations

from env.document import Document


class FenceViolation(Exception):
    """An edited file that must not be run. `message` names the line, what is wrong and what is allowed.

    `line` is 1-based, in the edited file. Codes: syntax, encoding, too_complex, boundary, structure, binding, missing,
    overrides, reach.
    """

    def __init__(self, code: str, line: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.line = line
        self.message = message


def quoted(document: Document, line: int) -> str:
    """A line for a message: its number and a piece of its text."""
    text = document.lines[line - 1].strip()
    return f"line {line} `{text if len(text) <= 80 else text[:77] + '...'}`"
