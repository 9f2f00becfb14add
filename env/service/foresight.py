"""What would fail a test whatever it trains on, found before one is spent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from env.document.baselines import baseline_document
from env.lifecycle.findings import told
from env.lifecycle.rehearsals import Rehearsal, Rehearsals
from env.service.call import Call
from env.service.live import LiveSession, LiveSessions
from env.service.steps import Steps
from env.store.budget import probes_left, tests_left
from env.store.model import Session
from env.store.store import Store
from ringfence.api.arguments import ProbeArguments, TestArguments
from ringfence.api.refusal import Kind, Refusal
from runner.inside.findings import BEFORE_A_TEST
from tasks.model import Scale

log = logging.getLogger("ringfence.service")

PATIENCE_S = 45.0
"""Seconds that a call of `test` waits for the look ahead, which takes three on an idle host: some clients wait a minute
at most. Then the call is to be repeated."""
LONGEST_S = 150.0
"""Seconds from its beginning after which nobody waits for it any more, and the test is spent without."""


@dataclass(frozen=True)
class _Look:
    """A look ahead that is under way."""

    work: asyncio.Task[Any]
    since: float
    """When it began, by the loop's clock."""


class Foresight:
    """Builds the model at its real size and asks it about short inputs, before a test is spent on it. What `check` has
    found of the same text is not looked at again, nor are the unedited file and the baselines.
    """

    def __init__(
        self, store: Store, live: LiveSessions, steps: Steps, rehearsals: Rehearsals, *, enabled: bool = True
    ) -> None:
        self._store = store
        self._live = live
        self._steps = steps
        self._rehearsals = rehearsals
        self._enabled = enabled
        self._looks: dict[str, _Look] = {}
        """By session, those that are under way."""

    async def look(self, call: Call[TestArguments] | Call[ProbeArguments], check: asyncio.Task[Any] | None) -> None:
        """Has the next `refuse` know about the session's files. `check` is the rehearsal that is under way, if any.

        Raises Refusal where the call has to be repeated. Whether the caller may act in the session is known.
        """
        session_id = call.session_id
        live = self._live.get(session_id)
        files = live.workspace.texts
        scale = _scale_of(live.session, probe=isinstance(call.arguments, ProbeArguments))
        if not self._enabled or scale is None or not self._worth_it(live, call, scale):
            return
        now = asyncio.get_running_loop().time()
        look = self._looks.get(session_id)
        if look is None:
            own = check if scale.name == live.session.scale else None
            work = own or asyncio.create_task(self._look(live.session, live.seq + 1, files, scale))
            look = self._looks[session_id] = _Look(work, now)
            work.add_done_callback(lambda _: self._looks.pop(session_id, None))
        await asyncio.wait([look.work], timeout=min(PATIENCE_S, max(0.0, look.since + LONGEST_S - now)))
        if not look.work.done() and now < look.since + LONGEST_S - PATIENCE_S:
            raise Refusal(
                Kind.UNAVAILABLE,
                "test_being_prepared",
                "The file is still being looked at for what would fail any test. No test was spent. Repeat the call.",
            )
        if self._live.get(session_id).workspace.texts != files:
            raise Refusal(
                Kind.CONFLICT,
                "file_changed",
                "The file was changed while the test was being prepared. No test was spent. Call test again.",
            )

    def remember(self, session_id: str, files: Mapping[str, str], scale: Scale, over: Rehearsal) -> None:
        """What a rehearsal found of these files at a scale."""
        live = self._live.get(session_id)
        if live.workspace.texts == files:
            findings = () if over.rehearsed is None else over.rehearsed.findings
            forbidding = tuple(finding for finding in findings if finding.forbids_a_test)
            live.foreseen = live.workspace, scale.name, forbidding

    def refuse(self, live: LiveSession, *, probe: bool) -> None:
        """Raises Refusal where a test, or a probe, of the session's files is known to fail."""
        scale = _scale_of(live.session, probe=probe)
        if not self._enabled or scale is None or not _foreseen(live, scale):
            return
        assert live.foreseen is not None
        if findings := live.foreseen[2]:
            text, what = live.workspace.document(None).text, "probe" if probe else "test"
            why = "\n".join(told(finding, text, scale.max_parameters) for finding in findings)
            raise Refusal(Kind.INVALID, findings[0].code, f"This cannot be {what}ed: {why}\nNo {what} was spent.")

    def _worth_it(self, live: LiveSession, call: Call[TestArguments] | Call[ProbeArguments], scale: Scale) -> bool:
        session, workspace = live.session, live.workspace
        if live.submission is not None or live.ending is not None:
            return False
        if (live.linted or (None, None))[1] is not None or _foreseen(live, scale):
            return False
        if not any(stage.role == "train" for stage in scale.stages) or _known(session, workspace.texts):
            return False
        with self._store.read() as conn:
            tests = self._store.tests(conn, session.id)
        left = (probes_left if isinstance(call.arguments, ProbeArguments) else tests_left)(session, tests)
        return left > 0 and all(test.status.final for test in tests) and not self._steps.given_before(call)

    async def _look(self, session: Session, number: int, files: Mapping[str, str], scale: Scale) -> None:
        try:
            over = await self._rehearsals.rehearse(session, number, files, BEFORE_A_TEST, scale)
        except Exception:
            log.exception("session %s: nothing could be foreseen of its test", session.id)
        else:
            self.remember(session.id, files, scale, over)


def _scale_of(session: Session, *, probe: bool) -> Scale | None:
    """What a test, or a probe, of the session would run at; None where it can have none."""
    if session.scale is None:
        return None
    return session.proxy if probe else session.size


def _foreseen(live: LiveSession, scale: Scale) -> bool:
    """Whether the files have been looked at as they are."""
    return live.foreseen is not None and live.foreseen[0] is live.workspace and live.foreseen[1] == scale.name


def _known(session: Session, files: Mapping[str, str]) -> bool:
    """Whether it is the unedited file or a baseline, for which the task's author has answered."""
    task = session.task
    if set(files) != {task.filename}:
        return False
    text = files[task.filename]
    return text == task.text or any(text == baseline_document(task, one).text for one in task.baselines)
