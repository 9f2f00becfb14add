"""Opening a session on a task."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from env.service.access import Access, sha256
from env.service.answers import budget, files
from env.service.here import Here
from env.service.live import LiveSessions
from env.service.prompt import Installation, prompt
from env.service.refusals import cannot_run, unknown_task
from env.service.repeats import Remembered, Repeats
from env.store.model import Session
from env.store.store import Store
from leaderboard.beating import to_beat
from leaderboard.naming import BASELINE_PREFIX, baseline_agent, is_baseline
from ringfence.api.arguments import schemas
from ringfence.api.catalogue import TaskPrompt
from ringfence.api.refusal import Kind, Refusal
from ringfence.api.sessions import Opened
from tasks.model import Scale, Task

_AGENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:/@+-]{0,99}")
PUBLIC_METADATA = (
    "\n\nThe metadata that this session was opened with becomes public with its record, as soon as it is submitted.\n"
)
UNGUESSABLE = 20
"""Characters of a key that stands for its caller."""
MAX_METADATA_CHARS = 8192
MAX_METADATA_DEPTH = 32  # far from where reading it back could meet the interpreter's recursion limit


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The session that somebody asks for."""

    bearer: str | None
    """An operator's key, where the service has any."""
    task: str
    agent: str
    scale: str | None = None
    """None for the service's default."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """JSON values, kept with the session."""
    key: str | None = None
    """The Idempotency-Key under which the call may be repeated."""


class Opening:
    """Opens sessions on the tasks there are, for whoever may."""

    def __init__(
        self,
        store: Store,
        live: LiveSessions,
        tasks: Mapping[str, Task],
        access: Access,
        new_id: Callable[[], str],
        clock: Callable[[], datetime],
        here: Here,
        versions: Callable[[], Mapping[str, str]],
        lacks: Callable[[Scale], str | None],
        default_scale: str | None = None,
    ) -> None:
        """`versions` are those of what runs tests; `lacks` says what is missing here to run them at a scale."""
        self._store = store
        self._live = live
        self._tasks = tasks
        self._access = access
        self._new_id = new_id
        self._clock = clock
        self._here = here
        self._versions = versions
        self._lacks = lacks
        self._default_scale = default_scale
        self._repeats = Repeats()

    def open_session(self, wanted: Wanted) -> Opened:
        """Opens the session, or finds the one that the same key has opened before. Raises Refusal."""
        self._access.require_opener(wanted.bearer)
        task = self._tasks.get(wanted.task)
        if task is None:
            raise unknown_task(wanted.task, self._tasks)
        if not _AGENT.fullmatch(wanted.agent) or is_baseline(wanted.agent):
            raise Refusal(
                Kind.INVALID,
                "bad_agent",
                "agent must be 1 to 100 of the characters A-Z a-z 0-9 space . _ : / @ + -, begin with a letter or "
                f"digit, and not begin with '{BASELINE_PREFIX}', which is reserved.",
            )
        scale = self._scale(task, wanted.scale)
        if scale is not None and (lack := self._lacks(task.scales[scale])) is not None:
            others = (name for name, other in task.scales.items() if self._lacks(other) is None)
            raise cannot_run(scale, lack, others)
        metadata = _checked(wanted.metadata)
        call = {"task": task.id, "agent": wanted.agent, "scale": scale, "metadata": metadata}
        if wanted.key is not None and self._access.open_to_all and len(wanted.key) < UNGUESSABLE:
            raise Refusal(
                Kind.INVALID,
                "bad_idempotency_key",
                "Without operator keys, whoever opens a session under the same Idempotency-Key is given its token. So "
                f"it must be one that nobody else takes, of at least {UNGUESSABLE} characters: a UUID, for example.",
            )
        scope = f"open:{sha256(wanted.bearer or '')}"
        with self._store.begin() as conn:
            repeated = self._repeats.find(conn, scope, wanted.key, call)
            if repeated is not None:
                session_id = str(repeated.body["session_id"])
                session = self._store.session(conn, session_id)
                assert session is not None
            else:
                session = self._new(task, wanted.agent, scale, metadata)
                session_id = session.id
                self._store.add_session(conn, session)
                self._repeats.remember(conn, scope, wanted.key, call, Remembered({"session_id": session_id}))
        return self._opened(session_id)

    def opened(self, bearer: str | None, session_id: str) -> Opened:
        """What opening the session was answered, once more. Raises Refusal."""
        self._access.require_agent(bearer, self._live.get(session_id).session)
        return self._opened(session_id)

    def _opened(self, session_id: str) -> Opened:
        live = self._live.get(session_id)
        session = live.session
        told = prompt(
            session.task,
            session.scale,
            self._installation(session.task, None if session.scale is None else session.size),
        )
        return Opened(
            session_id=session_id,
            token=self._access.token(session_id),
            task=session.task.id,
            scale=session.scale,
            prompt=told + (PUBLIC_METADATA if session.metadata else ""),
            tools=schemas(probes=session.proxy is not None),
            budget=budget(session, []),
            files=files(live.opened),
        )

    def prompt(self, task_id: str, scale: str | None) -> TaskPrompt:
        """What an agent is told whose session is opened on the task at a scale. Raises Refusal."""
        task = self._tasks.get(task_id)
        if task is None:
            raise unknown_task(task_id, self._tasks)
        chosen = self._scale(task, scale)
        told = prompt(task, chosen, self._installation(task, None if chosen is None else task.scales[chosen]))
        return TaskPrompt(task=task.id, scale=chosen, prompt=told)

    def _installation(self, task: Task, scale: Scale | None) -> Installation:
        known = None
        if scale is not None:
            with self._store.read() as conn:
                known = to_beat(conn, self._here.board(task, scale))
        return Installation(versions=self._versions(), to_beat=known)

    def open_baseline(self, task: Task, name: str, scale: str, seed: int) -> tuple[str, str]:
        """Opens a session that plays a baseline, for the operator's own process; no transport leads here.

        Returns the session's id and token.
        """
        session = self._new(task, baseline_agent(name), scale, {}, seed)
        with self._store.begin() as conn:
            self._store.add_session(conn, session)
        return session.id, self._access.token(session.id)

    def _new(
        self, task: Task, agent: str, scale: str | None, metadata: Mapping[str, Any], seed: int | None = None
    ) -> Session:
        session_id = self._new_id()
        token_sha256 = sha256(self._access.token(session_id))
        return Session(
            id=session_id,
            task=task,
            agent=agent,
            scale=scale,
            metadata=metadata,
            token_sha256=token_sha256,
            created_at=self._clock(),
            seed=seed,
        )

    def _scale(self, task: Task, wanted: str | None) -> str | None:
        if wanted is None:
            if self._default_scale in task.scales:
                return self._default_scale
            return next(iter(task.scales), None)
        if wanted not in task.scales:
            known = ", ".join(task.scales) or "none: this task can be edited but not tested"
            raise Refusal(
                Kind.INVALID, "unknown_scale", f"Task {task.id} has no scale {wanted[:64]!r}. Its scales: {known}."
            )
        return wanted


def _checked(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        text = json.dumps(metadata, allow_nan=False)
    except (ValueError, RecursionError):
        text = ""
    if not 0 < len(text) <= MAX_METADATA_CHARS or _depth(metadata) > MAX_METADATA_DEPTH:
        raise Refusal(
            Kind.INVALID,
            "bad_metadata",
            f"metadata must be a JSON object of at most {MAX_METADATA_CHARS} characters, nested at most "
            f"{MAX_METADATA_DEPTH} deep, without NaN or Infinity.",
        )
    return metadata


def _depth(value: object) -> int:
    """How many objects and lists are inside each other; counted without recursion."""
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [inner for item in level for inner in (item.values() if isinstance(item, dict) else item)]
    return depth
