"""One tool call: authorise, check, act, commit the step with its effect and its answer, and only then answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection

from env.document import Document, EditRefused
from env.fence import FenceViolation
from env.service.access import Access
from env.service.call import Call
from env.service.live import LiveSession, LiveSessions
from env.service.repeats import Remembered, Repeats
from env.service.workspace import Workspace
from env.store.kept_answers import observation_of
from env.store.model import Step
from env.store.store import Store
from ringfence.api.arguments import Arguments
from ringfence.api.base import Body
from ringfence.api.refusal import Kind, Refusal
from ringfence.api.tools import Edited, TurnedDown

E = TypeVar("E", bound=Edited)
MAX_STORED_BYTES = 256 << 20
"""Of all steps of a session: some thousand edits of the largest files."""
MAX_REFUSED_CHARS = 4000
"""Of each text of a call that was refused: the beginning of a longer one is kept."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What a tool call comes to: the observation, and what is committed with its step."""

    observation: str
    document: Document
    """The file the answer describes."""
    workspace: Workspace | None = None
    """The files' new state, after an edit or an undo."""
    undone: int = 0
    """How many edits were taken back."""
    test: int | None = None
    """The test that was started or submitted."""
    write: Callable[[Connection], None] | None = None
    """What else is written in the step's transaction."""
    adds: Mapping[str, Body] = field(default_factory=dict)
    """The fields that the tool's answer has beside those of an edit's."""


class Steps:
    """Takes every tool call the same way, from its caller's secret to its committed answer."""

    def __init__(self, store: Store, live: LiveSessions, access: Access, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._live = live
        self._access = access
        self._clock = clock
        self._repeats = Repeats()

    def take(self, call: Call[Arguments], answer: type[E], act: Callable[[LiveSession], Effect]) -> E | TurnedDown:
        """Runs a tool call and commits its step, its effect and its answer together. A refusal is a step as well."""
        live, repeated = self._enter(call, answer)
        if repeated is not None:
            return repeated
        effect, refusal = self._attempt(live, call, act)
        return self._commit(live, call, effect, refusal, answer)

    def screen(
        self, call: Call[Arguments], answer: type[E], admit: Callable[[LiveSession], Effect]
    ) -> E | TurnedDown | None:
        """The first half of a call that takes its time: None if it may go on, and then `take` ends it.

        Otherwise its answer: the one given before under the same key, or the refusal, which is committed.
        """
        live, repeated = self._enter(call, answer)
        if repeated is not None:
            return repeated
        effect, refusal = self._attempt(live, call, admit)
        return None if refusal is None else self._commit(live, call, effect, refusal, answer)

    def note(self, call: Call[Arguments], effect: Effect) -> None:
        """Commits a step of a call that has been let in and is not refused."""
        self._commit(self._live.get(call.session_id), call, effect, None, Edited)

    def given_before(self, call: Call[Arguments]) -> bool:
        """Whether the same call was made before under its key. Raises Refusal for a key of another call."""
        if call.key is None:
            return False
        with self._store.begin() as conn:
            return self._repeats.find(conn, call.session_id, call.key, _repeatable(call)) is not None

    def _enter(self, call: Call[Arguments], answer: type[E]) -> tuple[LiveSession, E | TurnedDown | None]:
        """The session, once the caller may act in it; and the answer given before under the same key."""
        live = self._live.get(call.session_id)
        self._access.require_agent(call.bearer, live.session)
        if call.key is not None:
            with self._store.read() as conn:
                found = self._repeats.find(conn, call.session_id, call.key, _repeatable(call))
                told = None if found is None else self._observation(conn, call.session_id, found)
            if found is not None:
                return live, _again(found, told, answer)
        self._require_open(live, call.tool)
        return live, None

    def _attempt(
        self, live: LiveSession, call: Call[Arguments], act: Callable[[LiveSession], Effect]
    ) -> tuple[Effect, Refusal | None]:
        limit = live.session.task.budget.steps
        try:
            if limit and live.seq >= limit and call.tool != "submit":
                raise Refusal(
                    Kind.EXHAUSTED,
                    "step_budget_exhausted",
                    f"Step budget exhausted ({limit}/{limit}). You MUST call submit(n=N) to choose which test result "
                    "to submit.",
                )
            if live.stored_bytes >= MAX_STORED_BYTES and call.tool != "submit":
                raise Refusal(
                    Kind.EXHAUSTED,
                    "session_full",
                    f"The session's steps take {live.stored_bytes} bytes, and {MAX_STORED_BYTES} are allowed. Call "
                    "submit(n=N) to choose which test result to submit.",
                )
            return act(live), None
        except EditRefused as refused:
            refusal = Refusal(Kind.INVALID, refused.code, refused.message)
        except FenceViolation as violation:
            refusal = Refusal(Kind.INVALID, violation.code, f"{violation.message} No test was spent.")
        except Refusal as refused:
            if refused.kind is Kind.UNAVAILABLE:
                raise  # no step and no answer to remember: the same call is to be repeated
            refusal = refused
        return Effect(observation=refusal.observation, document=live.workspace.document(None)), refusal

    def _commit(
        self, live: LiveSession, call: Call[Arguments], effect: Effect, refusal: Refusal | None, answer: type[E]
    ) -> E | TurnedDown:
        step = Step(
            seq=live.seq + 1,
            tool=call.tool,
            input=call.input if refusal is None else cut(call.input),
            ok=refusal is None,
            observation=effect.observation,
            at=self._clock(),
            code=None if refusal is None else refusal.code,
            test=effect.test,
            editables=None if effect.workspace is None or effect.undone else effect.workspace.editables(),
            undone=effect.undone,
        )
        given = _given(effect, refusal, live.revision + (effect.workspace is not None), answer)
        try:
            if effect.write is None and call.key is None:
                self._store.append(call.session_id, step)
            else:
                with self._store.begin() as conn:
                    self._store.add_step(conn, call.session_id, step)
                    if effect.write is not None:
                        effect.write(conn)
                    fields = {name: value for name, value in given.to_dict().items() if name != "observation"}
                    kept = Remembered(fields | {"step": step.seq}, None if refusal is None else refusal.kind)
                    self._repeats.remember(conn, call.session_id, call.key, _repeatable(call), kept)
        except BaseException:
            self._live.drop(call.session_id)  # it may be committed all the same: the store knows
            raise
        self._live.advance(live, step, effect.workspace)
        return given

    def _observation(self, conn: Connection, session_id: str, found: Remembered) -> str | None:
        """What an answer said, which is kept with its step; None for one of before that was done."""
        seq = found.body.get("step")
        return None if seq is None else observation_of(conn, session_id, seq)

    def _require_open(self, live: LiveSession, tool: str) -> None:
        if live.ending is not None:
            what = f"test #{live.submission.test} was submitted for it" if live.submission else "no test had succeeded"
            raise Refusal(
                Kind.CONFLICT,
                "session_closed",
                f"This session is closed: {live.ending.reason}; {what}. {tool} is not possible any more. Open another "
                "session to go on.",
            )
        if live.submission is not None:
            raise Refusal(
                Kind.CONFLICT,
                "session_closed",
                f"This session is closed: test #{live.submission.test} was submitted as final. {tool} is not possible "
                "any more.",
            )


def _repeatable(call: Call[Arguments]) -> Mapping[str, Any]:
    """What a call under the same key must be to be the same call."""
    return {"tool": call.tool, "arguments": call.input}


def _given(effect: Effect, refusal: Refusal | None, revision: int, answer: type[E]) -> E | TurnedDown:
    document = effect.document
    fields: dict[str, object] = {
        "ok": refusal is None,
        "observation": effect.observation,
        "editable": document.ranges,
        "total_lines": document.total_lines,
        "revision": revision,
    }
    if refusal is None:
        return answer.model_validate(fields | dict(effect.adds))
    return TurnedDown.model_validate(fields | {"code": refusal.code, "kind": refusal.kind})


def _again(found: Remembered, observation: str | None, answer: type[E]) -> E | TurnedDown:
    fields = {name: value for name, value in found.body.items() if name != "step"}
    if observation is not None:
        fields["observation"] = observation
    if found.kind is None:
        return answer.model_validate(fields)
    return TurnedDown.model_validate({**fields, "kind": found.kind})


def cut(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is kept of a refused call's arguments: enough to see what was tried, however much was sent."""
    return {name: _cut(value) for name, value in given.items()}


def _cut(value: Any) -> Any:
    if not isinstance(value, str) or len(value) <= MAX_REFUSED_CHARS:
        return value
    left_out = len(value) - MAX_REFUSED_CHARS
    return f"{value[:MAX_REFUSED_CHARS]}\n[{left_out} more characters of a refused call were not kept]"
