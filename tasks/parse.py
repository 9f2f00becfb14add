"""From the text of a TOML file to its checked tables, with every error told by file and key."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from datetime import date, time
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tasks.errors import TaskError
from tasks.schema import TomlTable, table_at
from tasks.source import Source

_Root = TypeVar("_Root", bound=TomlTable)

_TOML_KINDS: Mapping[type, str] = {
    bool: "true/false",
    int: "an integer",
    float: "a float",
    str: "a string",
    list: "an array",
    dict: "a table",
    date: "a date",
    time: "a time",
}
_WANTED = {
    "string_type": "a string",
    "int_type": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "an array",
    "dict_type": "a table",
    "model_type": "a table",
}


def parse_toml(source: Source) -> dict[str, Any]:
    """The raw tables of a TOML text. Raises TaskError with the line of the first mistake."""
    try:
        return tomllib.loads(source.text)
    except tomllib.TOMLDecodeError as error:
        # The parser says where as "... (at line 3, column 7)" or "... (at end of document)".
        what, _, where = str(error).rpartition(" (at ")
        line, _, _ = where.rstrip(")").partition(",")
        key = line if line.startswith("line ") else f"line {source.text.count(chr(10)) + 1}"
        raise TaskError(source.path, key, f"not TOML: {what}") from error
    except (ValueError, RecursionError) as error:
        # An integer of thousands of digits, or arrays nested beyond the parser's stack.
        raise TaskError(source.path, "", f"not TOML that can be read: {error}") from error


def check_tables(file: Path, raw: Mapping[str, Any], root: type[_Root]) -> _Root:
    """The checked tables. Raises TaskError with all mistakes together."""
    try:
        return root.model_validate(raw)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise TaskError.together(
            TaskError(file, _key(detail["loc"]), _message(detail, root)) for detail in details
        ) from error


def _key(path: tuple[int | str, ...]) -> str:
    key = ""
    for part in path:
        if isinstance(part, int):
            key += f"[{part}]"
        elif part != "[key]":  # pydantic's mark for an error in a key rather than in its value
            key += f".{part}" if key else part
    return key


def _message(detail: ErrorDetails, root: type[TomlTable]) -> str:
    path, kind, value, limits = detail["loc"], detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "missing":
        return "is required"
    if kind == "extra_forbidden":
        return _unknown_key(str(path[-1]), table_at(root, path))
    if kind == "value_error":
        return str(limits["error"])
    if kind == "literal_error":
        return f"must be {limits['expected']}"
    if path[0] == "editable" and len(path) == 2:
        has = f"an array of {len(value)}" if isinstance(value, list) else _toml_kind(value)
        return f"must be a pair, [first line, last line], not {has}"
    if kind in _WANTED:
        return f"must be {_WANTED[kind]}, not {_toml_kind(value)}{_brackets(path, value)}"
    if kind == "greater_than_equal":
        return f"must be at least {limits['ge']:,.12g}"
    if kind == "less_than_equal":
        return f"must be at most {limits['le']:,.12g}"
    if kind == "too_short":
        return f"must have at least {limits['min_length']} item(s)"
    if kind in ("too_long", "string_too_long"):
        return f"must be no longer than {limits['max_length']}"
    return detail["msg"]


def _brackets(path: tuple[int | str, ...], value: object) -> str:
    """A hint for the commonest slip in TOML: one pair of brackets for another."""
    if isinstance(value, dict):
        return f"; write [[{_key(path)}]]"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return f"; write [{_key(path)}]"
    return ""


def _unknown_key(key: str, table: type[TomlTable]) -> str:
    allowed = sorted(table.model_fields)
    near = difflib.get_close_matches(key, allowed, n=1)
    guess = f"did you mean {near[0]}? " if near else ""
    return f"unknown key; {guess}Allowed are {', '.join(allowed)}"


def _toml_kind(value: object) -> str:
    return next(name for kind, name in _TOML_KINDS.items() if isinstance(value, kind))
