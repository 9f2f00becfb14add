"""The tools' arguments: one model each, shared by every transport, and their schemas."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from itertools import islice
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictStr
from pydantic_core import PydanticCustomError

from ringfence.api.base import Body


def _absent(value: object) -> object:
    """An optional argument that is null or empty was left out: clients that fill in every argument send such."""
    return None if value == "" else value


def _no_truth(value: object) -> object:
    """Numbers may come as texts, which models are apt to write; `true` is no number."""
    if isinstance(value, bool):
        raise PydanticCustomError("not_a_number", "Input should be a number")
    return value


def _number_or_absent(value: object) -> object:
    return _absent(_no_truth(value))


def _seconds(value: object) -> object:
    return MAX_STATUS_WAIT_S if value in (None, "") else _no_truth(value)


def _count(value: object) -> object:
    return 1 if value in (None, "") else _no_truth(value)


OpName = Annotated[Literal["replace", "insert", "str_replace", "create"] | None, BeforeValidator(_absent)]
Name = Annotated[StrictStr | None, BeforeValidator(_absent)]
"""An optional one."""
Line = Annotated[int | None, BeforeValidator(_number_or_absent)]
"""An optional line number."""

MAX_MISTAKES = 5
MAX_STATUS_WAIT_S = 25.0
"""Well below the shortest time-out that clients of tools are known to have, 60 s."""

_FILENAME = Field(None, description="The file, as named in the prompt. May be left out: the task's file is meant then.")


class Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ListTasksArguments(Arguments):
    """List the tasks that there are. Takes no arguments."""


class OpenArguments(Arguments):
    """Open a session on a task: the answer holds the prompt and the token that every other call needs."""

    task: StrictStr = Field(description="A task's id, as the list of tasks has it.")
    agent: StrictStr = Field(description="Who is acting; shown on the leaderboard.")
    scale: Name = Field(None, description="One of the task's scales; the service's default if left out.")


class EditArguments(Arguments):
    """Change the file inside its editable ranges. Line numbers are 1-based and those of the file as it is now."""

    op: OpName = Field(
        None,
        description="replace: start_line, end_line, content. insert: after_line, content. str_replace: old_str (must "
        "occur exactly once in the editable ranges), new_str. create: a new file, where the task allows it. May "
        "be left out where the other arguments are those of one operation only.",
    )
    filename: Name = _FILENAME
    start_line: Line = Field(None, description="replace: first line to replace.")
    end_line: Line = Field(None, description="replace: last line to replace, inclusive.")
    after_line: Line = Field(
        None, description="insert: the line to insert after; one less than a range's first line inserts at its start."
    )
    content: StrictStr | None = Field(None, description="replace, insert, create: the new lines. Empty deletes.")
    old_str: StrictStr | None = Field(None, description="str_replace: the text to find.")
    new_str: StrictStr | None = Field(None, description="str_replace: the text to put in its place.")


class ViewArguments(Arguments):
    """Show the file with line numbers, whole or a part of it."""

    filename: Name = _FILENAME
    start_line: Line = Field(None, description="First line to show; the file's first by default.")
    end_line: Line = Field(None, description="Last line to show, inclusive; the file's last by default.")


class UndoArguments(Arguments):
    """Take back the last edits."""

    n: Annotated[int, BeforeValidator(_count)] = Field(1, description="How many edits to take back; 1 by default.")


class CheckArguments(Arguments):
    """Rehearse the file as it is now, free of charge: it is built, trains two steps at a tiny size on CPU, and is
    probed for causality. Answers in seconds. Takes no arguments."""


class TestArguments(Arguments):
    """Run the file as it is now: trains and evaluates, and spends one test of the budget. Takes no arguments."""

    __test__ = False


class ProbeArguments(Arguments):
    """Try the file as it is now at a smaller scale, in minutes: trains and evaluates as a test does, and spends one
    probe of a budget of its own. Its result guides you, is never ranked and cannot be submitted. Takes no arguments."""


class TestStatusArguments(Arguments):
    """How the last test or probe stands: its progress while it runs, its result once it is over. Interrupts nothing."""

    __test__ = False

    wait_s: Annotated[float, BeforeValidator(_seconds)] = Field(
        MAX_STATUS_WAIT_S,
        ge=0,
        le=MAX_STATUS_WAIT_S,
        description="Seconds to wait for the result, at most 25, which is the default.",
    )


class CheckStatusArguments(Arguments):
    """How the last check came out, or that it is still under way. For a check that was not answered in time."""

    wait_s: Annotated[float, BeforeValidator(_seconds)] = Field(
        MAX_STATUS_WAIT_S,
        ge=0,
        le=MAX_STATUS_WAIT_S,
        description="Seconds to wait for the result, at most 25, which is the default.",
    )


class SubmitArguments(Arguments):
    """Choose the test whose result is your final answer. Ends the session."""

    n: Annotated[int, BeforeValidator(_no_truth)] = Field(description="Number of the test, as in [Test #n].")


class CancelArguments(Arguments):
    """Stop a test. No tool of an agent's: whoever drives it may call it, or an operator."""

    n: Annotated[int, BeforeValidator(_no_truth)]


class CancelProbeArguments(CancelArguments):
    """Stop a probe, in the same way."""


TOOLS: dict[str, type[Arguments]] = {
    "edit": EditArguments,
    "view": ViewArguments,
    "undo": UndoArguments,
    "check": CheckArguments,
    "probe": ProbeArguments,
    "test": TestArguments,
    "submit": SubmitArguments,
}


class Function(Body):
    name: str
    description: str
    parameters: dict[str, Any]


class Tool(Body):
    """In OpenAI function-calling form."""

    type: Literal["function"]
    function: Function


@cache
def schemas(*, probes: bool = True) -> tuple[Tool, ...]:
    """A session's tools in OpenAI function-calling form; without `probe` where there are no `probes`. Not `strict`:
    that mode would make every argument required.
    """
    return tuple(
        Tool(
            type="function",
            function=Function(name=name, description=description(tool), parameters=parameters(tool)),
        )
        for name, tool in TOOLS.items()
        if probes or tool is not ProbeArguments
    )


def description(arguments: type[Arguments]) -> str:
    """What the tool does, as one line."""
    return " ".join((arguments.__doc__ or "").split())


def parameters(arguments: type[Arguments]) -> dict[str, Any]:
    """The tool's arguments as a JSON schema."""
    raw = arguments.model_json_schema()
    return {
        "type": "object",
        "properties": {key: _property(value) for key, value in raw.get("properties", {}).items()},
        "required": raw.get("required", []),
        "additionalProperties": False,
    }


def _property(schema: dict[str, Any]) -> dict[str, Any]:
    """Optional arguments without their null branch: a model that sees it tends to send nulls."""
    plain = {key: value for key, value in schema.items() if key not in ("title", "default", "anyOf")}
    for branch in schema.get("anyOf", []):
        if branch.get("type") != "null":
            plain = {**branch, **plain}
    return plain


def mistakes(errors: Iterable[Any], arguments: type[Arguments] | None, tool: str) -> str:
    """Pydantic's error dictionaries in words, and which arguments are allowed. `loc` begins with the argument."""
    wrong = "; ".join(dict.fromkeys(_in_words(error) for error in islice(errors, MAX_MISTAKES)))
    if arguments is None:
        return f"{wrong}."
    names = ", ".join(arguments.model_fields)
    return f"{wrong}. Allowed arguments: {names}." if names else f"{wrong}. {tool} takes no arguments."


def _in_words(error: Any) -> str:
    place = ".".join(str(part)[:64] for part in error["loc"]) or "the body"
    if error["type"] == "extra_forbidden":
        return f"{place!r} is not an argument of this call"
    return f"{place}: {error['msg']}"
