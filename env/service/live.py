"""Sessions in use, held in memory; everything here can be read again from the store."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass

from env.service.refusals import unknown_session
from env.service.workspace import Workspace
from env.store.model import Ending, Session, Step, Submission
from env.store.store import Store

MAX_LIVE = 2048
SESSION_ID = re.compile(r"[a-z0-9]{1,32}")


@dataclass
class LiveSession:
    session: Session
    history: list[Workspace]
    """The files as opened, then after each edit that was not undone."""
    seq: int = 0
    """Number of the last step."""
    revision: int = 0
    """Counts every change of the files, an undo included."""
    submission: Submission | None = None
    ending: Ending | None = None
    """Why the service closed it; None while it is open, and where its agent submitted."""

    @property
    def workspace(self) -> Workspace:
        return self.history[-1]

    def advance(self, step: Step, workspace: Workspace | None) -> None:
        """Follow a step that is committed."""
        self.seq = step.seq
        if workspace is not None:
            self.history.append(workspace)
            self.revision += 1
        if step.undone:
            del self.history[-step.undone :]
            self.revision += 1


class LiveSessions:
    """The most recently used ones; `Refusal` for ids that do not exist."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sessions: OrderedDict[str, LiveSession] = OrderedDict()
        self._opened: dict[str, Workspace] = {}
        """By task version: the sessions of a task share the lines that none of them changed."""

    def add(self, live: LiveSession) -> None:
        self._sessions[live.session.id] = live
        if len(self._sessions) > MAX_LIVE:
            self._sessions.popitem(last=False)

    def get(self, session_id: str) -> LiveSession:
        live = self._sessions.get(session_id)
        if live is None:
            if not SESSION_ID.fullmatch(session_id):
                raise unknown_session(session_id)
            live = self._load(session_id)
            self.add(live)
        else:
            self._sessions.move_to_end(session_id)
        return live

    def drop(self, session_id: str) -> None:
        """Forgets a session that may not be any more as it is here: it is read again when it is next needed."""
        self._sessions.pop(session_id, None)

    def drop_all(self) -> None:
        """Forgets every session, after somebody else may have written to the database."""
        self._sessions.clear()

    def _load(self, session_id: str) -> LiveSession:
        with self._store.begin() as conn:
            session = self._store.session(conn, session_id)
            if session is None:
                raise unknown_session(session_id)
            changes = self._store.changes(conn, session_id)
            version = session.task.version
            if version not in self._opened:
                self._opened[version] = Workspace.open(session.task)
            live = LiveSession(
                session,
                [self._opened[version]],
                self._store.last_seq(conn, session_id),
                len(changes),
                self._store.submission(conn, session_id),
                self._store.ending(conn, session_id),
            )
        for editables, undone in changes:
            if editables is not None:
                live.history.append(live.history[0].restored(editables))
            else:
                del live.history[-undone:]
        return live
