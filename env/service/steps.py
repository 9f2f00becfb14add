"""One tool call: authorise, check, act, commit the step with its effect and its answer, and only then answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine

from env.api.refusal import Kind, Refusal
from env.document import Document, EditRefused
from env.fence import FenceViolation
from env.service.access import Access
from env.service.answer import Answer
from env.service.live import LiveSession, LiveSessions
from env.service.repeats import Repeats
from env.service.workspace import Workspace
from env.store.model import Step
from env.store.store import Store


@dataclass(frozen=True)
class Effect:
    """What a tool call comes to: the observation, and what is committed with its step."""

    observation: str
    document: Document
    """The file the answer describes."""
    workspace: Workspace | None = None
    """The files' new state, after an edit."""
    undone: int = 0
    test: int | None = None
    write: Callable[[Connection], None] | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    """What the tool adds to the answer."""


class Steps:
    def __init__(
        self, engine: Engine, store: Store, live: LiveSessions, access: Access, clock: Callable[[], datetime]
    ) -> None:
        self._engine = engine
        self._store = store
        self._live = live
        self._access = access
        self._clock = clock
        self._repeats = Repeats(store)

    def take(
        self,
        bearer: str | None,
        session_id: str,
        tool: str,
        arguments: Mapping[str, Any],
        key: str | None,
        act: Callable[[LiveSession], Effect],
    ) -> Answer:
        """Runs a tool call and commits its step, its effect and its answer together. A refusal is a step as well."""
        live, repeated = self._enter(bearer, session_id, tool, arguments, key)
        if repeated is not None:
            return repeated
        return self._commit(live, tool, arguments, key, *self._attempt(live, tool, act))

    def screen(
        self,
        bearer: str | None,
        session_id: str,
        tool: str,
        arguments: Mapping[str, Any],
        key: str | None,
        admit: Callable[[LiveSession], Effect],
    ) -> Answer | None:
        """The first half of a call that takes its time: None if it may go on, and then `take` ends it.

        Otherwise its answer: the one given before under the same key, or the refusal, which is committed.
        """
        live, repeated = self._enter(bearer, session_id, tool, arguments, key)
        if repeated is not None:
            return repeated
        effect, refusal = self._attempt(live, tool, admit)
        return None if refusal is None else self._commit(live, tool, arguments, key, effect, refusal)

    def _enter(
        self, bearer: str | None, session_id: str, tool: str, arguments: Mapping[str, Any], key: str | None
    ) -> tuple[LiveSession, Answer | None]:
        """The session, once the caller may act in it; and the answer given before under the same key."""
        live = self._live.get(session_id)
        self._access.require_agent(bearer, live.session)
        if key is not None:
            with self._engine.begin() as conn:
                repeated = self._repeats.find(conn, session_id, key, _call(tool, arguments))
            if repeated is not None:
                return live, repeated
        self._require_open(live, tool)
        return live, None

    def _commit(
        self,
        live: LiveSession,
        tool: str,
        arguments: Mapping[str, Any],
        key: str | None,
        effect: Effect,
        refusal: Refusal | None,
    ) -> Answer:
        session_id = live.session.id
        step = Step(
            seq=live.seq + 1,
            tool=tool,
            input=arguments,
            ok=refusal is None,
            observation=effect.observation,
            at=self._clock(),
            code=None if refusal is None else refusal.code,
            test=effect.test,
            editables=None if effect.workspace is None else effect.workspace.editables(),
            undone=effect.undone,
        )
        changed = effect.workspace is not None or effect.undone > 0
        answer = _answer(effect, refusal, live.revision + changed)
        if effect.write is None and key is None:
            self._store.append(session_id, step)
        else:
            with self._engine.begin() as conn:
                self._store.add_step(conn, session_id, step)
                if effect.write is not None:
                    effect.write(conn)
                self._repeats.remember(conn, session_id, key, _call(tool, arguments), answer)
        live.advance(step, effect.workspace)
        return answer

    def _attempt(
        self, live: LiveSession, tool: str, act: Callable[[LiveSession], Effect]
    ) -> tuple[Effect, Refusal | None]:
        limit = live.session.task.budget.steps
        try:
            if limit and live.seq >= limit and tool != "submit":
                raise Refusal(
                    Kind.EXHAUSTED,
                    "step_budget_exhausted",
                    f"Step budget exhausted ({limit}/{limit}). You MUST call submit(n=N) to choose which test result "
                    "to submit.",
                )
            return act(live), None
        except EditRefused as refused:
            refusal = Refusal(Kind.INVALID, refused.code, refused.message)
        except FenceViolation as violation:
            refusal = Refusal(Kind.INVALID, violation.code, f"{violation.message} No test was spent.")
        except Refusal as refused:
            refusal = refused
        return Effect(refusal.observation, live.workspace.document(None)), refusal

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


def _call(tool: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"tool": tool, "arguments": arguments}


def _answer(effect: Effect, refusal: Refusal | None, revision: int) -> Answer:
    body: dict[str, Any] = {"ok": refusal is None, "observation": effect.observation}
    if refusal is not None:
        body["code"] = refusal.code
    body["editable"] = [list(pair) for pair in effect.document.ranges]
    body["total_lines"] = effect.document.total_lines
    body["revision"] = revision
    return Answer(body | dict(effect.fields), None if refusal is None else refusal.kind)
