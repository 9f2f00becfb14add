"""Opening a session on a task."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from env.api.arguments import schemas
from env.api.refusal import Kind, Refusal
from env.service.access import Access, sha256
from env.service.answer import Answer
from env.service.live import LiveSessions
from env.service.prompt import prompt
from env.service.repeats import Repeats
from env.service.shapes import budget, files, unknown_task
from env.store.model import Session
from env.store.store import Store
from leaderboard.naming import baseline_agent, is_baseline
from tasks.model import Task

_AGENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:/@+-]{0,99}")
MAX_METADATA_CHARS = 8192
MAX_METADATA_DEPTH = 32  # far from where reading it back could meet the interpreter's recursion limit


class Opening:
    def __init__(
        self,
        engine: Engine,
        store: Store,
        live: LiveSessions,
        tasks: Mapping[str, Task],
        access: Access,
        new_id: Callable[[], str],
        clock: Callable[[], datetime],
        default_scale: str | None = None,
    ) -> None:
        self._engine = engine
        self._store = store
        self._live = live
        self._tasks = tasks
        self._access = access
        self._new_id = new_id
        self._clock = clock
        self._default_scale = default_scale
        self._repeats = Repeats(store)

    def open_session(
        self,
        bearer: str | None,
        task_id: str,
        agent: str,
        scale: str | None,
        metadata: Mapping[str, Any],
        key: str | None,
    ) -> dict[str, Any]:
        self._access.require_opener(bearer)
        task = self._tasks.get(task_id)
        if task is None:
            raise unknown_task(task_id, self._tasks)
        if not _AGENT.fullmatch(agent) or is_baseline(agent):
            raise Refusal(
                Kind.INVALID,
                "bad_agent",
                "agent must be 1 to 100 of the characters A-Z a-z 0-9 space . _ : / @ + -, begin with a letter or "
                "digit, and not begin with 'baseline:', which is reserved.",
            )
        scale = self._scale(task, scale)
        call = {"task": task_id, "agent": agent, "scale": scale, "metadata": _checked(metadata)}
        scope = f"open:{sha256(bearer or '')}"
        with self._engine.begin() as conn:
            repeated = self._repeats.find(conn, scope, key, call)
            if repeated is not None:
                session_id = str(repeated.body["session_id"])
                session = self._store.session(conn, session_id)
                assert session is not None
            else:
                session = self._new(task, agent, scale, metadata)
                session_id = session.id
                self._store.add_session(conn, session)
                self._repeats.remember(conn, scope, key, call, Answer({"session_id": session_id}))
        live = self._live.get(session_id)
        return {
            "session_id": session_id,
            "token": self._access.token(session_id),
            "task": session.task.id,
            "scale": session.scale,
            "prompt": prompt(session.task, session.scale),
            "tools": schemas(),
            "budget": budget(session.task, []),
            "files": files(live.history[0]),
        }

    def open_baseline(self, task: Task, name: str, scale: str, seed: int) -> tuple[str, str]:
        """Id and token of a session that plays a baseline. For the operator's own process: no transport leads here."""
        session = self._new(task, baseline_agent(name), scale, {}, seed)
        with self._engine.begin() as conn:
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
