"""The tools' arguments: one model each, shared by every transport, and their function-calling schemas."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

OpName = Literal["replace", "insert", "str_replace", "create"]

_FILENAME = Field(None, description="The file, as named in the prompt. May be left out: the task's file is meant then.")


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")


class EditArguments(_Arguments):
    """Change the file inside its editable ranges. Line numbers are 1-based and those of the file as it is now."""

    op: OpName | None = Field(
        None,
        description="replace: start_line, end_line, content. insert: after_line, content. str_replace: old_str (must "
        "occur exactly once in the editable ranges), new_str. create: a new file, where the task allows it.",
    )
    filename: StrictStr | None = _FILENAME
    start_line: StrictInt | None = Field(None, description="replace: first line to replace.")
    end_line: StrictInt | None = Field(None, description="replace: last line to replace, inclusive.")
    after_line: StrictInt | None = Field(
        None, description="insert: the line to insert after; one less than a range's first line inserts at its start."
    )
    content: StrictStr | None = Field(None, description="replace, insert, create: the new lines. Empty deletes.")
    old_str: StrictStr | None = Field(None, description="str_replace: the text to find.")
    new_str: StrictStr | None = Field(None, description="str_replace: the text to put in its place.")


class ViewArguments(_Arguments):
    """Show the file with line numbers, whole or a part of it."""

    filename: StrictStr | None = _FILENAME
    start_line: StrictInt | None = Field(None, description="First line to show; the file's first by default.")
    end_line: StrictInt | None = Field(None, description="Last line to show, inclusive; the file's last by default.")


class UndoArguments(_Arguments):
    """Take back the last edits."""

    n: StrictInt = Field(1, description="How many edits to take back.")


class CheckArguments(_Arguments):
    """Rehearse the file as it is now, free of charge: it is built, trains two steps at a tiny size on CPU, and is
    probed for causality. Answers in seconds. Takes no arguments."""


class TestArguments(_Arguments):
    """Run the file as it is now: trains and evaluates, and spends one test of the budget. Takes no arguments."""

    __test__ = False


class SubmitArguments(_Arguments):
    """Choose the test whose result is your final answer. Ends the session."""

    n: StrictInt = Field(description="Number of the test, as in [Test #n].")


TOOLS: dict[str, type[_Arguments]] = {
    "edit": EditArguments,
    "view": ViewArguments,
    "undo": UndoArguments,
    "check": CheckArguments,
    "test": TestArguments,
    "submit": SubmitArguments,
}


@cache
def schemas() -> list[dict[str, Any]]:
    """The tools in OpenAI function-calling form."""
    return [_schema(name, arguments) for name, arguments in TOOLS.items()]


def _schema(name: str, arguments: type[_Arguments]) -> dict[str, Any]:
    raw = arguments.model_json_schema()
    properties = {key: _property(value) for key, value in raw.get("properties", {}).items()}
    parameters = {
        "type": "object",
        "properties": properties,
        "required": raw.get("required", []),
        "additionalProperties": False,
    }
    return {
        "type": "function",
        "function": {"name": name, "description": arguments.__doc__, "parameters": parameters},
    }


def _property(schema: dict[str, Any]) -> dict[str, Any]:
    """Optional arguments without their null branch: a model that sees it tends to send nulls."""
    plain = {key: value for key, value in schema.items() if key not in ("title", "default", "anyOf")}
    for branch in schema.get("anyOf", []):
        if branch.get("type") != "null":
            plain = {**branch, **plain}
    return plain
