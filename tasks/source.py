"""Reading the files of a task folder: plain UTF-8 text that lies inside the folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from tasks.errors import TaskError

_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}"
_CLEAN_PATH = re.compile(rf"{_PART}(?:/{_PART}){{0,7}}")

# Besides "\n", these end a line for Python's tokenizer, for str.splitlines or for an editor: with one of them in the
# file, two readers would count its lines differently.
_ODD_SEPARATORS = {
    "\r": "a carriage return",
    "\v": "a vertical tab",
    "\f": "a form feed",
    "\x1c": "a file separator (U+001C)",
    "\x1d": "a group separator (U+001D)",
    "\x1e": "a record separator (U+001E)",
    "\x85": "a next-line character (U+0085)",
    "\u2028": "a line separator (U+2028)",
    "\u2029": "a paragraph separator (U+2029)",
    "\0": "a NUL character",
}
_ODD = re.compile("[" + "".join(_ODD_SEPARATORS) + "]")


class Source(NamedTuple):
    """A text and the file it came from."""

    path: Path
    text: str


def path_problem(name: str) -> str | None:
    """Why `name` is not a clean relative POSIX path, or None if it is one."""
    if "\\" in name:
        return "has a backslash; separate folders with `/`"
    if name.startswith("/"):
        return "is absolute; give a path relative to the folder"
    if ".." in name.split("/"):
        return "leaves the folder; `..` is not allowed"
    if not _CLEAN_PATH.fullmatch(name):
        return (
            "is not a clean relative path; allowed are at most 8 parts separated by `/`, each of letters, digits, "
            "`_`, `.` and `-`, at most 80 characters, beginning with a letter, a digit or `_`"
        )
    return None


def read_source(folder: Path, name: str, *, blame: tuple[Path, str]) -> Source | None:
    """The file `name` of `folder`, or None if there is no such file.

    Raises TaskError for a link that leads outside (told of `blame`, the file and key that asked for it) and for
    bytes that are not plain UTF-8.
    """
    path = folder / name
    try:
        if not path.is_file():
            return None
        if not path.resolve().is_relative_to(folder.resolve()):
            raise TaskError(*blame, f"{name} is a link to a file outside the task's folder; put the file itself there")
        data = path.read_bytes()
    except OSError as error:
        raise TaskError(path, "", f"cannot be read: {error.strerror}") from error
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise TaskError(
            path, f"line {line}", f"byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from error
    if text.startswith("\ufeff"):
        raise TaskError(path, "line 1", "begins with a byte order mark; save the file as UTF-8 without one")
    return Source(path, text)


def with_plain_lines(source: Source) -> str:
    """The text, ending in a newline, if `\\n` is the only line separator in it. Raises TaskError."""
    if not source.text.strip():
        raise TaskError(source.path, "", "is empty; it must have at least one line")
    odd = _ODD.search(source.text)
    if odd:
        line = source.text.count("\n", 0, odd.start()) + 1
        message = f"{_ODD_SEPARATORS[odd[0]]} in the text; lines must end in a plain newline and hold nothing like one"
        raise TaskError(source.path, f"line {line}", message)
    return source.text if source.text.endswith("\n") else source.text + "\n"
