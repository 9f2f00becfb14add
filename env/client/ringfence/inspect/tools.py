"""A session's tools as Inspect's: the schemas are the service's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from inspect_ai.tool import Tool, ToolDef, ToolError, ToolParams

from ringfence.api.tools import Probed, Started
from ringfence.client import ClientSession, RefusedError, TestView
from ringfence.inspect.sessions import aside

HOLD_S = 20
"""How long one call waits for a test; a cancelled sample leaves its thread behind for no longer."""


def tools_of(session: ClientSession) -> list[Tool]:
    return [
        _tool(session, one.function.name, one.function.description, one.function.parameters)
        for one in session.opened.tools
    ]


def _tool(session: ClientSession, name: str, description: str, parameters: dict[str, Any]) -> Tool:
    async def execute(**arguments: Any) -> str:
        try:
            answer = await aside(lambda: session.call(name, **arguments))
            if isinstance(answer, Started):
                return str((await _result(session.read_test, answer.test.n)).observation)
            if isinstance(answer, Probed):
                return str((await _result(session.read_probe, answer.probe.n)).observation)
        except RefusedError as refused:
            raise ToolError(refused.observation) from refused
        return answer.observation

    # A file shown whole is longer than what Inspect would let through by default.
    return ToolDef(execute, name, description, ToolParams.model_validate(parameters), max_output=0).as_tool()


async def _result(read: Callable[[int, float], TestView], n: int) -> TestView:
    while True:
        seen = await aside(lambda: read(n, HOLD_S))
        if seen.ended_at is not None:
            return seen
