"""Sessions in use, held in memory; everything here can be read again from the store."""

from __future__ import annotations

import logging
import re
from collections import OrderedDict, deque
from dataclasses import dataclass

from env.document import Seen
from env.fence import FenceViolation
from env.lifecycle.findings import RehearsalFinding
from env.service.refusals import unknown_session, unreadable
from env.service.workspace import Workspace
from env.store import trajectory
from env.store.model import Ending, Session, Step, Submission
from env.store.store import Store

log = logging.getLogger("ringfence.service")

MAX_LIVE = 1024
MAX_LIVE_BYTES = 256 << 20
"""Of all files in memory together, by estimate; the session that is in use stays, whatever it takes."""
KEPT_STATES = 4
"""Of a session's files, for undo: earlier ones are read again."""
SESSION_ID = re.compile(r"[a-z0-9]{1,32}")


@dataclass
class LiveSession:
    """A session in use: its files as they are, and how far it got."""

    session: Session
    opened: Workspace
    """The files as they were opened."""
    recent: deque[Workspace]
    """Their last states, the present one at the end; at least that one."""
    seen: dict[str, Seen]
    """What its agent was last shown of each, by path. Of a session that is read again: at its opening and since
    the last edit; what it viewed in between is forgotten."""
    edits: int = 0
    """How many edits are in effect: those that were not undone."""
    seq: int = 0
    """Number of the last step."""
    revision: int = 0
    """Counts every change of the files, an undo included."""
    stored_bytes: int = 0
    """About what its steps take in the database."""
    submission: Submission | None = None
    ending: Ending | None = None
    """Why the service closed it; None while it is open, and where its agent submitted."""
    linted: tuple[Workspace, FenceViolation | None] | None = None
    """The files that were linted last, and what was found."""
    foreseen: tuple[Workspace, str, tuple[RehearsalFinding, ...]] | None = None
    """The files that were last looked at for what would fail any test, at which scale, and what was found."""
    counted_bytes: int = 0
    """What its files count for among those of all sessions."""

    @property
    def workspace(self) -> Workspace:
        return self.recent[-1]

    def advance(self, step: Step, workspace: Workspace | None) -> None:
        """Follow a step that is committed, and left the files like this; None if it left them as they were."""
        self.seq = step.seq
        self.stored_bytes += stored_size(step)
        if workspace is None:
            return
        self.revision += 1
        if step.undone:
            self.edits -= step.undone
            for _ in range(min(step.undone, len(self.recent))):
                self.recent.pop()
            if not self.recent:
                self.recent.append(workspace)
        else:
            self.edits += 1
            self.recent.append(workspace)


def seen_of(opened: Workspace, present: Workspace) -> dict[str, Seen]:
    """What an agent has seen who was shown the files as they were opened, and the answer to the last edit of each."""
    seen = {path: Seen(opened.documents.get(path, document)) for path, document in present.documents.items()}
    for path, document in present.documents.items():
        seen[path].show_excerpt(document)
    return seen


def stored_size(step: Step) -> int:
    """About how many bytes a step takes in the database."""
    size = len(step.observation) + sum(len(value) for value in step.input.values() if isinstance(value, str))
    for segments in (step.editables or {}).values():
        size += sum(len(line) + 3 for segment in segments for line in segment)
    return size


class LiveSessions:
    """The most recently used ones; `Refusal` for ids that do not exist."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sessions: OrderedDict[str, LiveSession] = OrderedDict()
        self._bytes = 0
        """What the files of all of them take in memory, by estimate."""
        self._opened: dict[str, Workspace] = {}
        """By task version: the sessions of a task share the lines that none of them changed."""

    def add(self, live: LiveSession) -> None:
        self.drop(live.session.id)
        self._sessions[live.session.id] = live
        self._count(live)

    def advance(self, live: LiveSession, step: Step, workspace: Workspace | None) -> None:
        """As `LiveSession.advance`; others may be forgotten for it."""
        live.advance(step, workspace)
        if workspace is not None and self._sessions.get(live.session.id) is live:
            self._count(live)

    def _count(self, live: LiveSession) -> None:
        size = sum(state.memory_bytes for state in live.recent)
        self._bytes += size - live.counted_bytes
        live.counted_bytes = size
        while len(self._sessions) > 1 and (len(self._sessions) > MAX_LIVE or self._bytes > MAX_LIVE_BYTES):
            self.drop(next(iter(self._sessions)))

    def get(self, session_id: str) -> LiveSession:
        live = self._sessions.get(session_id)
        if live is None:
            if not SESSION_ID.fullmatch(session_id):
                raise unknown_session(session_id)
            live = self._read(session_id)
            self.add(live)
        else:
            self._sessions.move_to_end(session_id)
        return live

    def drop(self, session_id: str) -> None:
        """Forgets a session that may not be any more as it is here: it is read again when it is next needed."""
        live = self._sessions.pop(session_id, None)
        if live is not None:
            self._bytes -= live.counted_bytes

    def drop_all(self) -> None:
        """Forgets every session, after somebody else may have written to the database."""
        self._sessions.clear()
        self._bytes = 0

    def before(self, live: LiveSession, n: int) -> Workspace:
        """The files as they were before the last `n` of the edits in effect, 1 to `live.edits`."""
        assert 1 <= n <= live.edits
        if n < len(live.recent):
            return live.recent[-1 - n]
        if n == live.edits:
            return live.opened
        session_id = live.session.id
        with self._store.read() as conn:
            wanted = trajectory.in_effect(trajectory.changes(conn, session_id))[-1 - n]
            state = trajectory.states(conn, session_id, [wanted])[wanted]
        return live.opened.restored(state)

    def _read(self, session_id: str) -> LiveSession:
        try:
            return self._load(session_id)
        except (ValueError, TypeError, KeyError, AttributeError) as error:  # whatever parsing damaged rows raises
            log.exception("session %s cannot be read", session_id)
            raise unreadable(session_id) from error

    def _load(self, session_id: str) -> LiveSession:
        with self._store.read() as conn:
            session = self._store.session(conn, session_id)
            if session is None:
                raise unknown_session(session_id)
            changes = trajectory.changes(conn, session_id)
            edits = trajectory.in_effect(changes)
            states = trajectory.states(conn, session_id, edits[-KEPT_STATES:])
            version = session.task.version
            if version not in self._opened:
                self._opened[version] = Workspace.open(session.task)
            opened = self._opened[version]
            recent = deque([opened], maxlen=KEPT_STATES)
            recent.extend(opened.restored(states[seq]) for seq in edits[-KEPT_STATES:])
            return LiveSession(
                session=session,
                opened=opened,
                recent=recent,
                seen=seen_of(opened, recent[-1]),
                edits=len(edits),
                seq=trajectory.last_seq(conn, session_id),
                revision=len(changes),
                stored_bytes=trajectory.stored_bytes(conn, session_id),
                submission=self._store.submission(conn, session_id),
                ending=self._store.ending(conn, session_id),
            )
