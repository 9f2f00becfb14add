"""Confirmations: a submitted test's code at further seeds, by an operator's wish or by policy, at nobody's cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from env.lifecycle.loop import Lifecycle
from env.lifecycle.plan import on_gpus
from env.service.access import Access, sha256
from env.service.answers import confirmation_views
from env.service.here import Here
from env.service.live import LiveSessions
from env.store.confirmations import confirmations_by, seeds_had, under_way
from env.store.model import Ending, Session, Status, Step, Test
from env.store.store import Store
from env.store.trajectory import tested_state
from leaderboard import reading
from leaderboard.naming import is_baseline
from ringfence.api.refusal import Kind, Refusal
from ringfence.api.sessions import Confirmations
from tasks.model import Scale

MAX_SEEDS = 100
"""Of one call."""


class Confirming:
    """Queues confirmations. Each is a session of its own with one test, which goes the way of all tests; it is closed
    from the start, so that no call can act in it, and nothing of it can be submitted.
    """

    def __init__(
        self,
        store: Store,
        live: LiveSessions,
        lifecycle: Lifecycle,
        access: Access,
        new_id: Callable[[], str],
        clock: Callable[[], datetime],
        here: Here,
        lacks: Callable[[Scale], str | None],
        *,
        further: int = 0,
        take_up: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`lacks` says what is missing here to run tests at a scale. `further` is how many seeds every submission at a
        cheap scale is confirmed at by policy. `take_up` is called with the id of a session that an earlier process left
        under way, and that is asked for again.
        """
        self._store = store
        self._live = live
        self._lifecycle = lifecycle
        self._access = access
        self._new_id = new_id
        self._clock = clock
        self._here = here
        self._lacks = lacks
        self._further = further
        self._take_up = take_up

    def confirm(self, session_id: str, seeds: Sequence[int], *, yes: bool = False) -> Confirmations:
        """Queues what a session submitted at these seeds, each once. Those that wait or run already stay as they are.

        Raises Refusal, and then nothing is queued; `yes` lets scales pass that take GPUs.
        """
        seeds = list(dict.fromkeys(seeds))
        session, test = self._submitted(session_id)
        self._check_worth(session, len(seeds), yes=yes)
        with self._store.begin() as conn:
            recorded = reading.entry(conn, test.run_key)
            assert recorded is not None, "what was submitted has a row"
            here = self._here.board(session.task, session.size)
            if recorded.result.board != here:
                raise Refusal(
                    Kind.CONFLICT,
                    "other_board",
                    f"Test {test.run_key} stands on a board of results by a {recorded.result.board.runner_class.value} "
                    f"runner, and what runs now would stand on one by a {here.runner_class.value} runner, or of other "
                    "data: they cannot be compared.",
                )
            of_code = (here.id, recorded.result.code_sha256)
            had = seeds_had(conn, *of_code)
            there = [f"{seed} (result {had[seed]})" for seed in seeds if seed in had]
            if there:
                raise Refusal(
                    Kind.CONFLICT,
                    "seed_there",
                    f"This code has been run already at seed {', '.join(there)}. A seed counts once: name others.",
                )
            waiting = under_way(conn, *of_code)
            waiting |= self.queue(conn, session, test, [seed for seed in seeds if seed not in waiting])
        for seed in seeds:
            self._take_up(waiting[seed])
        self._lifecycle.wake()
        with self._store.read() as conn:
            found = confirmations_by(conn, list(map(waiting.__getitem__, seeds)))
        return Confirmations(run_key=test.run_key, confirmations=confirmation_views(found))

    def planned(self, conn: Connection, session: Session, test: Test) -> list[int]:
        """The seeds at which a test that is being submitted is to be confirmed by policy: those after the scale's own
        that its code has not been run at. None at a scale that takes GPUs, and for a baseline, which is the operator's.
        """
        if not self._further or test.status is not Status.SUCCEEDED or is_baseline(session.agent):
            return []
        base, recorded = session.size.seed, reading.entry(conn, test.run_key)
        if base is None or recorded is None or on_gpus(session.size):
            return []
        of_code = (recorded.result.board.id, recorded.result.code_sha256)
        had = seeds_had(conn, *of_code).keys() | under_way(conn, *of_code).keys()
        return [seed for seed in range(base + 1, base + 1 + self._further) if seed not in had]

    def queue(self, conn: Connection, session: Session, test: Test, seeds: Iterable[int]) -> dict[int, str]:
        """Queues a submitted test's code at these seeds, in the transaction of the caller, who is to wake the loop.
        Returns the ids of the sessions that run them.
        """
        return {seed: self._queue(conn, session, test, seed) for seed in seeds}

    def _submitted(self, session_id: str) -> tuple[Session, Test]:
        live = self._live.get(session_id)
        session, submission = live.session, live.submission
        if session.confirms is not None:
            raise Refusal(
                Kind.CONFLICT,
                "is_confirmation",
                f"Session {session_id} confirms {session.confirms}: confirm that one's session.",
            )
        if submission is None:
            raise Refusal(
                Kind.CONFLICT,
                "not_submitted",
                f"Session {session_id} has not submitted a result: there is nothing to confirm.",
            )
        with self._store.read() as conn:
            test = self._store.test(conn, session_id, submission.test)
        assert test is not None
        if test.status is not Status.SUCCEEDED:
            raise Refusal(
                Kind.CONFLICT,
                "not_succeeded",
                f"Session {session_id} submitted test #{test.n}, which is {test.status.value}: only what succeeded has "
                "a value to confirm.",
            )
        return session, test

    def _check_worth(self, session: Session, seeds: int, *, yes: bool) -> None:
        scale = session.size
        if (lack := self._lacks(scale)) is not None:
            raise Refusal(Kind.CONFLICT, "no_devices", f"Scale {scale.name} {lack}.")
        if on_gpus(scale) and not yes:
            hours = sum(stage.timeout_s for stage in scale.stages) / 3600
            raise Refusal(
                Kind.INVALID,
                "expensive",
                f"Scale {scale.name} takes {scale.world_size} GPUs, for at most {hours:.1f} h a seed, and {seeds} "
                "seed(s) are asked for. Say yes to that (--yes) if you mean it.",
            )

    def _queue(self, conn: Connection, submitted: Session, test: Test, seed: int) -> str:
        """One seed: a session that is closed, with a step that says what it is, and its test."""
        now = self._clock()
        session_id = self._new_id()
        session = replace(
            submitted,
            id=session_id,
            metadata={},
            token_sha256=sha256(self._access.token(session_id)),
            created_at=now,
            seed=seed,
            confirms=test.run_key,
        )
        what = f"test #{test.n} of session {submitted.id} is run again at seed {seed}"
        step = Step(
            seq=1,
            tool="confirm",
            input={"run_key": test.run_key, "seed": seed},
            ok=True,
            observation=f"[confirm] {what[:1].upper()}{what[1:]}.",
            at=now,
            test=1,
            editables=tested_state(conn, submitted.id, test.n),
        )
        self._store.add_session(conn, session)
        self._store.add_step(conn, session_id, step)
        self._store.close(conn, session_id, Ending(at=now, reason=what))
        queued = Test(session_id=session_id, n=1, status=Status.QUEUED, files=test.files, created_at=now)
        self._store.add_test(conn, queued)
        return session_id
