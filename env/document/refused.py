"""An edit that is turned down."""

from __future__ import annotations


class EditRefused(Exception):
    """The document is unchanged. `message` says what is allowed; `code` is stable, for programs.

    Codes: bad_lines, beyond_end, outside_editable, bad_content, too_large, no_change, empty_old_str, not_found,
    not_unique.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
