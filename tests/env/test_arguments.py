"""The tools' schemas are what function calling wants, and mean what the tools accept."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from ringfence.api.arguments import (
    TOOLS,
    ListTasksArguments,
    OpenArguments,
    TestStatusArguments,
    description,
    parameters,
    schemas,
)

ALL = TOOLS | {"list_tasks": ListTasksArguments, "open_session": OpenArguments, "test_status": TestStatusArguments}
CALLS: tuple[tuple[str, dict[str, Any], bool], ...] = (
    ("edit", {"op": "replace", "start_line": 1, "end_line": 2, "content": ""}, True),
    ("edit", {"start_line": 1, "end_line": 2, "content": "x"}, True),
    ("edit", {"op": "move"}, False),
    ("edit", {"start_line": "one"}, False),
    ("edit", {"line": 1}, False),
    ("view", {}, True),
    ("undo", {"n": 2}, True),
    ("check", {"n": 1}, False),
    ("test", {}, True),
    ("test", {"n": 1}, False),
    ("submit", {}, False),
    ("submit", {"n": 1}, True),
    ("list_tasks", {}, True),
    ("open_session", {"task": "t", "agent": "a"}, True),
    ("open_session", {"task": "t"}, False),
    ("test_status", {"wait_s": 25}, True),
    ("test_status", {"wait_s": 26}, False),
)


def test_functions_are_named_and_described_as_clients_want_it() -> None:
    assert [tool.function.name for tool in schemas()] == list(TOOLS)
    for tool in schemas():
        assert set(tool.to_dict()) == {"type", "function"}
        function = tool.function
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", function.name)
        assert re.fullmatch(r"[A-Z][^\n]{10,1000}\.", function.description)
        assert "  " not in function.description


@pytest.mark.parametrize("name", ALL)
def test_every_argument_has_a_type_and_a_description(name: str) -> None:
    schema = parameters(ALL[name])
    jsonschema.Draft202012Validator.check_schema(schema)
    assert description(ALL[name])
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) <= set(schema["properties"])
    for value in schema["properties"].values():
        assert value["type"] in ("string", "integer", "number")
        assert value["description"]
        assert not {"title", "default", "anyOf"} & set(value)


@pytest.mark.parametrize(("name", "arguments", "right"), CALLS)
def test_schema_and_tool_accept_the_same(name: str, arguments: dict[str, Any], right: bool) -> None:
    assert jsonschema.Draft202012Validator(parameters(ALL[name])).is_valid(arguments) is right
    try:
        ALL[name].model_validate(arguments)
        accepted = True
    except ValidationError:
        accepted = False
    assert accepted is right
