"""The tools as MCP calls them: a session is known by its token, and a test is followed in short calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from env.lifecycle import feedback
from env.service.access import Access
from env.service.call import A, Call
from env.service.catalogue import task_brief
from env.service.opening import Wanted
from env.service.refusals import no_results
from env.service.service import Service
from ringfence.api.arguments import (
    MAX_STATUS_WAIT_S,
    TOOLS,
    Arguments,
    CheckArguments,
    CheckStatusArguments,
    EditArguments,
    ListTasksArguments,
    OpenArguments,
    ProbeArguments,
    SubmitArguments,
    TestArguments,
    TestStatusArguments,
    UndoArguments,
    ViewArguments,
    mistakes,
)
from ringfence.api.refusal import Kind, Refusal, Refused
from ringfence.api.sessions import ProgressView
from ringfence.api.tools import Edited, LastCheck, LastTest, SessionOpened, TaskList, TurnedDown

WITHOUT_SESSION: dict[str, type[Arguments]] = {"list_tasks": ListTasksArguments, "open_session": OpenArguments}
IN_SESSION: dict[str, type[Arguments]] = TOOLS | {
    "check_status": CheckStatusArguments,
    "test_status": TestStatusArguments,
}
ALL = WITHOUT_SESSION | IN_SESSION

RESULT_CALL = "test_status()"
CHECK_CALL = "check_status()"


Answer = Edited | TurnedDown | Refused | TaskList | SessionOpened | LastCheck | LastTest
Tell = Callable[[ProgressView], Awaitable[None]]
"""Is given the test's progress each time there is news."""


@dataclass(frozen=True)
class Caller:
    """What a request says of who calls."""

    bearer: str | None
    """The request's own secret, for callers that give no `token`."""
    key: str | None
    """Under which the call may be repeated."""


class Toolbox:
    """The tools as an MCP client calls them, and what each answers."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def call(self, name: str, given: Mapping[str, Any], caller: Caller, tell: Tell) -> Answer:
        """What the tool of that name answers. Raises Refusal."""
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
                return self._open(arguments, caller)
            case _:
                return await self._in_session(arguments, Caller(_token(given) or caller.bearer, caller.key), tell)

    async def _in_session(self, arguments: Arguments, caller: Caller, tell: Tell) -> Answer:
        token, session_id = caller.bearer, Access.session_of(caller.bearer)

        def call(own: A) -> Call[A]:
            return Call(bearer=token, session_id=session_id, arguments=own, key=caller.key)

        tools, checks = self._service.tools, self._service.checks
        match arguments:
            case EditArguments():
                return tools.edit(call(arguments))
            case ViewArguments():
                return tools.view(call(arguments))
            case UndoArguments():
                return tools.undo(call(arguments))
            case CheckArguments():
                return await checks.check(call(arguments), MAX_STATUS_WAIT_S, CHECK_CALL)
            case CheckStatusArguments():
                return await checks.last(token, session_id, arguments.wait_s, CHECK_CALL)
            case TestArguments():
                await checks.before_a_test(call(arguments))
                return tools.test(call(arguments), RESULT_CALL)
            case ProbeArguments():
                await checks.before_a_test(call(arguments))
                return tools.probe(call(arguments), RESULT_CALL)
            case TestStatusArguments():
                return await self._last_test(token, session_id, arguments.wait_s, tell)
            case SubmitArguments():
                return tools.submit(call(arguments))
            case _:
                raise AssertionError(arguments)

    def _list_tasks(self) -> TaskList:
        tasks = tuple(map(task_brief, self._service.tasks.values()))
        lines = [f"{task.id}: {task.title} (scales: {', '.join(task.scales) or 'none'})" for task in tasks]
        return TaskList(ok=True, observation="\n".join(lines), tasks=tasks)

    def _open(self, arguments: OpenArguments, caller: Caller) -> SessionOpened:
        opened = self._service.opening.open_session(
            Wanted(
                bearer=caller.bearer,
                task=arguments.task,
                agent=arguments.agent,
                scale=arguments.scale,
                key=caller.key,
            )
        )
        told = (
            f"Session {opened.session_id} is open. Give token={opened.token!r} with every other call. `test` "
            f"answers at once; `test_status` waits for the result.\n\n{opened.prompt}"
        )
        return SessionOpened(
            ok=True,
            observation=told,
            session_id=opened.session_id,
            token=opened.token,
            task=opened.task,
            scale=opened.scale,
            budget=opened.budget,
        )

    async def _last_test(self, bearer: str | None, session_id: str, wait_s: float, tell: Tell) -> LastTest:
        """The last test or probe, once it is over or `wait_s` seconds have passed. Not a step: it changes nothing."""
        views, lifecycle = self._service.views, self._service.lifecycle
        bought = views.tests(bearer, session_id)
        if not bought:
            raise no_results()
        n = bought[-1]
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        while (left := deadline - loop.time()) > 0 and await lifecycle.changed(session_id, n, left):
            await tell(views.news(bearer, session_id, n).progress)
        seen = await views.test_aside(bearer, session_id, n)
        told = seen.observation or feedback.under_way(seen, RESULT_CALL)
        return LastTest(ok=True, observation=told, test=seen)


def _token(given: Mapping[str, Any]) -> str | None:
    token = given.get("token") or None
    if token is not None and not isinstance(token, str):
        raise Refusal(Kind.INVALID, "invalid_arguments", "token: Input should be a valid string.")
    return token
