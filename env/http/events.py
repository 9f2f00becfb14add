"""What happens to a test, as server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from env.api.sessions import AttemptStarted, TestView
from env.api.tools import TestTicket
from env.http.responses import AGAIN_S
from env.service.service import Service
from env.store.outage import OUTAGES

KEEP_ALIVE_S = 15.0
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""A proxy is to hold nothing of it back."""
POINTS_AT_ONCE = 100
"""Told to one listener before others are served."""


class Listening:
    """Has those who listen take turns: one who comes late is told thousands of losses, others are served in between."""

    def __init__(self) -> None:
        self._turns = asyncio.Lock()

    async def take_turn(self) -> None:
        async with self._turns:
            await asyncio.sleep(0)


async def events_of(
    service: Service, listening: Listening, token: str | None, session_id: str, n: int
) -> AsyncIterator[str]:
    """The events of a test or probe, by its key, that the caller may read, from its first to its result."""
    status, shown, standing = None, 0, None
    attempt = (1, "")
    while not service.lifecycle.stopping:
        await listening.take_turn()
        try:
            seen = service.views.news(token, session_id, n, shown, POINTS_AT_ONCE)
            result = await service.views.test_aside(token, session_id, n) if seen.over else None
        except OUTAGES:
            yield ": the database does not answer\n\n"
            await asyncio.sleep(AGAIN_S)
            continue
        if seen.status != status:
            status = seen.status
            yield _event("status", TestTicket(n=abs(n), status=status).to_dict())
        now = (seen.progress.attempt, seen.progress.stage or "")
        if now != attempt and result is None:
            attempt = now
            if seen.progress.attempt > 1:
                live = service.lifecycle.progress(session_id, n)
                points = 0 if live is None else len(live.earlier)
                shown = min(shown, points)
                yield _event("reset", AttemptStarted(attempt=now[0], stage=now[1], points=points).to_dict())
                continue
        fresh = seen.progress.series if result is None else result.progress.series[shown:]
        for first in range(0, len(fresh), POINTS_AT_ONCE):
            if first:
                await listening.take_turn()
            page = fresh[first : first + POINTS_AT_ONCE]
            yield "".join(_event("metrics", point.to_dict() | {"attempt": attempt[0]}) for point in page)
        shown += len(fresh)
        if result is not None:
            yield await service.snapshots.beside(_result, result)
            return
        if len(fresh) == POINTS_AT_ONCE:
            continue  # there may be more of them already
        progress = seen.progress.model_dump(exclude={"series"})
        if progress != standing:
            standing = progress
            yield _event("progress", progress)
        with contextlib.suppress(*OUTAGES):
            if not await service.lifecycle.changed(session_id, n, KEEP_ALIVE_S):
                yield ": still running\n\n"


def _result(test: TestView) -> str:
    return _event("result", test.to_dict())


def _event(name: str, data: Mapping[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data, allow_nan=False)}\n\n"
