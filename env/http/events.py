"""What happens to a test, as server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from operator import is_not

from env.http import reads
from env.http.encoding import event
from env.http.responses import AGAIN_S
from env.service.answers import point_view
from env.service.service import Service
from env.store.outage import OUTAGES
from ringfence.api.sessions import AttemptStarted
from ringfence.api.tools import TestTicket
from runner.metrics import TrainMetrics

KEEP_ALIVE_S = 15.0
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""A proxy is to hold nothing of it back."""
POINTS_AT_ONCE = 100
"""Told to one listener before others are served."""
PAGES_KEPT = 200
"""Of so many points or fewer, as text: some megabytes."""


class Listening:
    """Has those who listen take turns: one who comes late is told thousands of losses, others are served in between."""

    def __init__(self) -> None:
        self._turns = asyncio.Lock()
        self._pages: OrderedDict[tuple[str, int, int, int], tuple[Sequence[TrainMetrics], str]] = OrderedDict()

    async def take_turn(self) -> None:
        async with self._turns:
            await asyncio.sleep(0)

    def page(self, session_id: str, n: int, shown: int, points: Sequence[TrainMetrics], attempt: int) -> str:
        """The events of these losses, which come after the first `shown`: written once for all who listen."""
        key = (session_id, n, shown, attempt)
        kept = self._pages.get(key)
        # After a reset other losses stand in the place of those before.
        if kept is None or len(kept[0]) != len(points) or any(map(is_not, kept[0], points)):
            text = "".join(event("metrics", point_view(point).to_dict() | {"attempt": attempt}) for point in points)
            kept = points, text
            self._pages[key] = kept
            if len(self._pages) > PAGES_KEPT:
                self._pages.popitem(last=False)
        return kept[1]


async def events_of(
    service: Service, listening: Listening, token: str | None, session_id: str, n: int
) -> AsyncIterator[str | bytes]:
    """The events of a test or probe, by its key, that the caller may read, from its first to its result."""
    status, shown, standing = None, 0, None
    attempt = (1, "")
    while not service.lifecycle.stopping:
        await listening.take_turn()
        try:
            seen = service.views.news(token, session_id, n, shown, POINTS_AT_ONCE)
            result = None
            if seen.over:  # nothing is told of it yet: where the database is away, all of it is told later
                result = await service.reads.begin(reads.end_of_test, session_id, n, shown, attempt[0])
        except OUTAGES:
            yield ": the database does not answer\n\n"
            await asyncio.sleep(AGAIN_S)
            continue
        if seen.status != status:
            status = seen.status
            yield event("status", TestTicket(n=abs(n), status=status).to_dict())
        now = (seen.progress.attempt, seen.progress.stage or "")
        if now != attempt and result is None:
            attempt = now
            if seen.progress.attempt > 1:
                live = service.lifecycle.progress(session_id, n)
                points = 0 if live is None else len(live.earlier)
                shown = min(shown, points)
                yield event("reset", AttemptStarted(attempt=now[0], stage=now[1], points=points).to_dict())
                continue
        if result is not None:
            yield result.first
            if result.rest is not None:
                with contextlib.closing(result.rest):
                    while not result.rest.over:
                        yield await result.rest.take()
            return
        if seen.points:
            yield listening.page(session_id, n, shown, seen.points, attempt[0])
            shown += len(seen.points)
        if len(seen.points) == POINTS_AT_ONCE:
            continue  # there may be more of them already
        progress = seen.progress.model_dump(exclude={"series"})
        if progress != standing:
            standing = progress
            yield event("progress", progress)
        with contextlib.suppress(*OUTAGES):
            if not await service.lifecycle.changed(session_id, n, KEEP_ALIVE_S):
                yield ": still running\n\n"
