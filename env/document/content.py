"""Text from an agent: split into lines as everyone will see them, or refused."""

from __future__ import annotations

import re
import unicodedata

from env.document.refused import EditRefused

# What an editor, a terminal and Python would not all show and count alike, or not show at all. By general category:
# controls, formats (zero width, joiners, direction marks, tags, soft hyphens, invisible operators), lone surrogates,
# private use, unassigned, line and paragraph separators, and blanks that are not the blank.
_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})
# Drawn as nothing though their category says letter, mark or symbol: joiners, fillers (Default_Ignorable_Code_Point of
# the Unicode Character Database), variation selectors, and characters whose picture is empty.
_EMPTY = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U00016fe4\U0001d159"
    "\U000e0100-\U000e01ef]"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
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
_NAMELESS = {
    "Cc": "CONTROL CHARACTER",
    "Cs": "LONE SURROGATE",
    "Co": "PRIVATE USE CHARACTER",
    "Cn": "UNASSIGNED CHARACTER",
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
    place = _first_invisible(text)
    if place is not None:
        line = text.count("\n", 0, place) + 1
        raise EditRefused(
            "bad_content",
            f"Line {line} of {name} has {_description(text[place])}. Blanks, tabs and ordinary line ends are allowed; "
            "control characters, other blanks and separators, and characters that are drawn as nothing are not. In a "
            "Python string write an escape instead.",
        )
    return text


def invisible(character: str) -> bool:
    """Whether a character would not be seen for what it is. Blank, tab and newline are no such characters."""
    if character in " \t\n":
        return False
    return unicodedata.category(character) in _CATEGORIES or _EMPTY.match(character) is not None


def _first_invisible(text: str) -> int | None:
    if text.isascii():
        found = _CONTROL.search(text)
        return None if found is None else found.start()
    bad = {character for character in set(text) if invisible(character)}
    return next((place for place, character in enumerate(text) if character in bad), None) if bad else None


def check_size(size: int, max_bytes: int) -> None:
    """Raises EditRefused (too_large) for a file of `size` bytes."""
    if size > max_bytes:
        raise EditRefused("too_large", f"The file would have {size} bytes or more; it may have {max_bytes}.")


def _description(character: str) -> str:
    name = _NAMES.get(character) or unicodedata.name(character, "") or _NAMELESS[unicodedata.category(character)]
    return f"U+{ord(character):04X} ({name})"
