"""The session's tools as a tool server of verifiers', one for all rollouts: `python -m ringfence.verifiers.tools`."""

# mypy: disable-error-code="misc"
# Its base classes are unknown to mypy: verifiers is never installed beside the rest.

from __future__ import annotations

import inspect
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import verifiers.v1 as vf
from pydantic import Field

from ringfence.api.arguments import TOOLS, Arguments, TestStatusArguments, description
from ringfence.api.sessions import TestView
from ringfence.api.tools import Probed, Started
from ringfence.client import AsyncClient, AsyncClientSession, RefusedError
from ringfence.verifiers.state import RolloutState

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

HOLD_S = 20.0
"""How long one call to the service waits for a test."""
_REMEMBERED = 1024
"""Sessions whose openings need not be asked for again."""


class RingfenceToolsConfig(vf.SharedToolsetConfig):
    """How the tool server works."""

    wait_s: float = 60.0
    """How long `test` and `test_status` hold their answer; the test goes on all the same."""


class RingfenceTools(vf.Toolset[RingfenceToolsConfig, RolloutState]):
    """Calls the service for whichever rollout asks. A refusal is what the tool answers: the model goes on from it."""

    TOOL_PREFIX = None

    async def setup(self) -> None:
        self._clients: dict[str, AsyncClient] = {}
        self._sessions: OrderedDict[str, AsyncClientSession] = OrderedDict()

    def register(self, mcp: MCPServer) -> None:
        tools: dict[str, type[Arguments]] = {**TOOLS, "test_status": TestStatusArguments}
        for name, arguments in tools.items():
            mcp.add_tool(self._with_state(self._tool(name, arguments)), name=name, description=description(arguments))

    def _tool(self, name: str, arguments: type[Arguments]) -> Callable[..., Awaitable[str]]:
        async def tool(**given: Any) -> str:
            # What was left out stays so: a default is the service's to choose.
            asked = {key: value for key, value in given.items() if value is not None}
            try:
                return await self._answer(name, asked)
            except RefusedError as refused:
                return refused.observation

        tool.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [
                inspect.Parameter(
                    key,
                    inspect.Parameter.KEYWORD_ONLY,
                    annotation=Annotated[field.annotation, *field.metadata, Field(description=field.description)],
                    default=inspect.Parameter.empty if field.is_required() else None,
                )
                for key, field in arguments.model_fields.items()
            ],
            return_annotation=str,
        )
        return tool

    async def _answer(self, name: str, asked: dict[str, Any]) -> str:
        session = await self._session()
        if name == "test_status":
            state = await session.state()
            last = max((*state.tests, *state.probes), key=lambda one: one.created_at, default=None)
            if last is None:
                return "No test was started yet."
            read = session.read_probe if last.kind == "probe" else session.read_test
            return await _waited(read, last.n, float(asked.get("wait_s", self.config.wait_s)))
        answer = await session.call(name, **asked)
        if isinstance(answer, Started):
            return await _waited(session.read_test, answer.test.n, self.config.wait_s)
        if isinstance(answer, Probed):
            return await _waited(session.read_probe, answer.probe.n, self.config.wait_s)
        return answer.observation

    async def _session(self) -> AsyncClientSession:
        state = self.state
        session = self._sessions.get(state.session_id)
        if session is None:
            if state.url not in self._clients:
                self._clients[state.url] = AsyncClient(state.url, patience_s=state.patience_s)
            session = await self._clients[state.url].resume(state.session_id, state.token)
            self._sessions[state.session_id] = session
            if len(self._sessions) > _REMEMBERED:
                self._sessions.popitem(last=False)
        return session


async def _waited(read: Callable[[int, float], Awaitable[TestView]], n: int, wait_s: float) -> str:
    """The result of test or probe `n`, or how far it is after so many seconds."""
    last = time.monotonic() + wait_s
    seen = await read(n, 0)
    while seen.ended_at is None and (left := last - time.monotonic()) > 0:
        seen = await read(n, min(left, HOLD_S))
    step = seen.progress.step
    under_way = f"{seen.kind.capitalize()} #{n} is {seen.status}, at step {step}. Call test_status to wait for it."
    return under_way if seen.observation is None else seen.observation


if __name__ == "__main__":
    RingfenceTools.run()
