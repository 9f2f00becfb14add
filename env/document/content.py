"""Text from an agent: split into lines as everyone will see them, or refused."""

from __future__ import annotations

import re
import unicodedata

from env.document.refused import EditRefused

# What an editor, a terminal and Python would not all show and count alike: C0 and C1 controls but tab and newline,
# line separators, bidirectional controls (Trojan Source, CVE-2021-42574), byte order marks, lone surrogates.
_REFUSED = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]",
)
# Unicode gives control characters no names of their own.
_NAMES = {
    "\x00": "NUL",
    "\x0b": "VERTICAL TAB",
    "\x0c": "FORM FEED",
    "\x1b": "ESCAPE",
    "\x1c": "FILE SEPARATOR",
    "\x1d": "GROUP SEPARATOR",
    "\x1e": "RECORD SEPARATOR",
    "\x7f": "DELETE",
    "\x85": "NEXT LINE",
    "\ufeff": "BYTE ORDER MARK",
}


def normalised(text: str) -> str:
    """`text` with every line end as a newline."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def split_lines(text: str) -> tuple[str, ...]:
    """The lines of normalised text. A newline at the end ends the last line; "" has no lines, "\\n" a blank one."""
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return tuple(lines)


def accepted(name: str, text: str, max_bytes: int | None) -> str:
    """`text` normalised. Raises EditRefused (bad_content, too_large); `name` is what the agent calls it."""
    text = normalised(text)
    if max_bytes is not None:
        check_size(len(text), max_bytes)  # the fewest bytes it can have: what is far too long is not looked at
    found = _REFUSED.search(text)
    if found is not None:
        line = text.count("\n", 0, found.start()) + 1
        raise EditRefused(
            "bad_content",
            f"Line {line} of {name} has {_description(found[0])}. Tabs and ordinary line ends are allowed, other "
            "control characters, line separators and invisible direction marks are not; in a Python string write "
            "an escape instead.",
        )
    return text


def check_size(size: int, max_bytes: int) -> None:
    """Raises EditRefused (too_large) for a file of `size` bytes."""
    if size > max_bytes:
        raise EditRefused("too_large", f"The file would have {size} bytes or more; it may have {max_bytes}.")


def _description(character: str) -> str:
    surrogate = "\ud800" <= character <= "\udfff"
    other = "LONE SURROGATE" if surrogate else "CONTROL CHARACTER"
    name = _NAMES.get(character, unicodedata.name(character, other))
    return f"U+{ord(character):04X} ({name})"
