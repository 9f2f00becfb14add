"""The kinds of value a task.toml holds: what each may be, and the message when it is something else."""

from __future__ import annotations

import math
import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from tasks.source import path_problem

# Labels and scale names end up in metric names, container names and addresses.
LABEL = re.compile(r"[a-z0-9][a-z0-9.-]{0,39}")
_TASK_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_VARIABLE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_OVERRIDE_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_SET_BY_RUN = {"PATH", "HOME", "OUT_DIR", "INPUT_DIR", "SCRIPT", "WORLD_SIZE_EXPECTED"}


def _printable_line(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    if not text.isprintable():
        raise ValueError("must be one line without control characters")
    return text


def _task_id(text: str) -> str:
    if not _TASK_ID.fullmatch(text):
        raise ValueError("must be 1 to 64 of a-z, 0-9 and `-`, beginning with a letter or a digit")
    return text


def _label(text: str) -> str:
    if not LABEL.fullmatch(text):
        raise ValueError("must be 1 to 40 of a-z, 0-9, `.` and `-`, beginning with a letter or a digit")
    return text


def _path(text: str) -> str:
    problem = path_problem(text)
    if problem:
        raise ValueError(problem)
    return text


def _python_path(text: str) -> str:
    if not _path(text).endswith(".py"):
        raise ValueError('must end in `.py`, as in "pkg/custom.py"')
    return text


def _override_key(text: str) -> str:
    if not _OVERRIDE_KEY.fullmatch(text):
        raise ValueError("must be a Python name")
    return text


def _no_twins(keys: list[str]) -> list[str]:
    twins = sorted({key for key in keys if keys.count(key) > 1})
    if twins:
        raise ValueError(f"names {', '.join(twins)} more than once")
    return keys


def _variable(name: str) -> str:
    if not _VARIABLE.fullmatch(name):
        raise ValueError("is not a variable name; allowed are letters, digits and `_`, beginning with a letter")
    if name.upper() in _SET_BY_RUN:
        raise ValueError(f"is set for every run and cannot be chosen; so are {', '.join(sorted(_SET_BY_RUN))}")
    return name.upper()


def _value(value: object) -> object:
    """A setting as its environment variable holds it; what is not a plain value is left for the type check."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, int):
        if value.bit_length() > 63:
            raise ValueError("must be an integer of 64 bits")
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("must be finite")
        return repr(value)
    if not isinstance(value, str):
        raise ValueError("must be a string, a number or true/false")
    if not value.isprintable():
        raise ValueError("must be one line without control characters")
    return value


def _one_spelling(table: object) -> object:
    if isinstance(table, dict):
        spelled: dict[str, str] = {}
        for name in table:
            first = spelled.setdefault(name.upper(), name)
            if first != name:
                raise ValueError(f"{first} and {name} are the same variable; keep one")
    return table


Variable = Annotated[str, AfterValidator(_variable)]
Label = Annotated[str, AfterValidator(_label)]
CleanPath = Annotated[str, AfterValidator(_path)]
PythonPath = Annotated[str, AfterValidator(_python_path)]
TaskId = Annotated[str, AfterValidator(_task_id)]
Line = Annotated[str, Field(max_length=200), AfterValidator(_printable_line)]
Settings = Annotated[dict[Variable, Annotated[str, BeforeValidator(_value)]], BeforeValidator(_one_spelling)]
OverrideKeys = Annotated[
    list[Annotated[str, AfterValidator(_override_key)]], Field(max_length=100), AfterValidator(_no_twins)
]
LinePair = Annotated[list[Annotated[int, Field(ge=1, le=1_000_000)]], Field(min_length=2, max_length=2)]
DataFolders = Annotated[dict[Variable, CleanPath], BeforeValidator(_one_spelling)]
