"""The tools as MCP calls them: a session is known by its token, and a test is followed in short calls."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from env.api.arguments import (
    TOOLS,
    Arguments,
    CheckArguments,
    EditArguments,
    ListTasksArguments,
    OpenArguments,
    SubmitArguments,
    TestArguments,
    TestStatusArguments,
    UndoArguments,
    ViewArguments,
    mistakes,
)
from env.api.refusal import Kind, Refusal
from env.service.access import Access
from env.service.answer import Answer
from env.service.catalogue import task_brief
from env.service.following import Following, Tell
from env.service.service import Service

WITHOUT_SESSION: dict[str, type[Arguments]] = {"list_tasks": ListTasksArguments, "open_session": OpenArguments}
IN_SESSION: dict[str, type[Arguments]] = TOOLS | {"test_status": TestStatusArguments}
ALL = WITHOUT_SESSION | IN_SESSION

RESULT_CALL = "test_status()"


class Toolbox:
    def __init__(self, service: Service) -> None:
        self._house = service
        self._following = Following(service.views, service.lifecycle, RESULT_CALL)
        self._checks: set[asyncio.Task[Answer]] = set()

    async def call(self, name: str, given: Mapping[str, Any], bearer: str | None, tell: Tell) -> Answer:
        """`bearer` is the request's own, for callers that do not give a `token`. Raises Refusal."""
        model = ALL.get(name)
        if model is None:
            raise Refusal(Kind.NOT_FOUND, "unknown_tool", f"Unknown tool {name[:64]!r}. There are {', '.join(ALL)}.")
        own = {key: value for key, value in given.items() if key != "token" or name in WITHOUT_SESSION}
        try:
            arguments = model.model_validate(own)
        except ValidationError as error:
            raise Refusal(Kind.INVALID, "invalid_arguments", mistakes(error.errors(), model, name)) from error
        match arguments:
            case ListTasksArguments():
                return self._list_tasks()
            case OpenArguments():
                return self._open(arguments, bearer)
            case _:
                token = _token(given) or bearer
                return await self._in_session(arguments, token, Access.session_of(token), tell)

    async def _in_session(self, arguments: Arguments, token: str | None, session_id: str, tell: Tell) -> Answer:
        tools = self._house.tools
        match arguments:
            case EditArguments():
                return tools.edit(token, session_id, arguments, None)
            case ViewArguments():
                return tools.view(token, session_id, arguments, None)
            case UndoArguments():
                return tools.undo(token, session_id, arguments, None)
            case CheckArguments():
                # To its end and into the trajectory, whether or not the caller still listens: as over HTTP.
                check = asyncio.create_task(tools.check(token, session_id, arguments, None))
                self._checks.add(check)
                check.add_done_callback(self._checks.discard)
                return await asyncio.shield(check)
            case TestArguments():
                return tools.test(token, session_id, arguments, None, RESULT_CALL)
            case TestStatusArguments():
                return await self._following.status(token, session_id, arguments.wait_s, tell)
            case SubmitArguments():
                return tools.submit(token, session_id, arguments, None)
            case _:
                raise AssertionError(arguments)

    def _list_tasks(self) -> Answer:
        tasks = [task_brief(task) for task in self._house.tasks.values()]
        lines = [f"{task.id}: {task.title} (scales: {', '.join(task.scales) or 'none'})" for task in tasks]
        return Answer(
            {"ok": True, "observation": "\n".join(lines), "tasks": [task.model_dump(mode="json") for task in tasks]}
        )

    def _open(self, arguments: OpenArguments, bearer: str | None) -> Answer:
        opened = self._house.opening.open_session(
            bearer, arguments.task, arguments.agent, arguments.scale, metadata={}, key=None
        )
        told = (
            f"Session {opened['session_id']} is open. Give token={opened['token']!r} with every other call. `test` "
            f"answers at once; `test_status` waits for the result.\n\n{opened['prompt']}"
        )
        brief = {name: opened[name] for name in ("session_id", "token", "task", "scale", "budget")}
        return Answer({"ok": True, "observation": told, **brief})


def _token(given: Mapping[str, Any]) -> str | None:
    token = given.get("token")
    if token is not None and not isinstance(token, str):
        raise Refusal(Kind.INVALID, "invalid_arguments", "token: Input should be a valid string.")
    return token
