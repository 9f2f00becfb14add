"""What can go wrong in preparing data, said so that an operator can mend it."""

from __future__ import annotations

from pathlib import Path


class DataError(Exception):
    """A data folder cannot be made."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"cannot prepare {path}: {reason}")
        self.path = path
        self.reason = reason
