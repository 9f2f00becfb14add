"""The agent's part: a plain loop of tool calls, until the session is submitted or a limit ends the sample."""

from __future__ import annotations

from inspect_ai.model import ChatMessageUser
from inspect_ai.solver import Generate, Solver, TaskState, solver

from ringfence.inspect.sessions import Sessions, aside
from ringfence.inspect.tools import tools_of

_GO_ON = "Go on with the tools. The session ends with submit(n=N), where N is the number of one of your tests."


@solver
def open_session(sessions: Sessions) -> Solver:
    """Gives the sample a session of its own: its prompt and its tools."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:  # noqa: ARG001
        session = await sessions.open(state)
        state.user_prompt.text = session.prompt
        state.tools = tools_of(session)
        state.metadata["session_id"] = session.id
        return state

    return solve


@solver
def work(sessions: Sessions) -> Solver:
    async def solve(state: TaskState, generate: Generate) -> TaskState:
        while not state.completed:
            state = await generate(state, tool_calls="single")
            calls = state.output.message.tool_calls if not state.output.empty else None
            if not calls:
                state.messages.append(ChatMessageUser(content=_GO_ON))
            elif any(call.function == "submit" for call in calls):
                seen = await aside(sessions.of(state).state)
                state.completed = seen.submission is not None
        return state

    return solve
