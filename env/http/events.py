"""What happens to a test, as server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from env.api.sessions import AttemptStarted
from env.api.tools import TestTicket
from env.http.responses import AGAIN_S
from env.service.service import Service
from env.store.outage import OUTAGES

KEEP_ALIVE_S = 15.0
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""A proxy is to hold nothing of it back."""


async def events_of(service: Service, token: str | None, session_id: str, n: int) -> AsyncIterator[str]:
    """The events of a test that the caller may read, from its first to its result."""
    status, shown, standing = None, 0, None
    attempt = (1, "")
    while not service.lifecycle.stopping:
        try:
            seen = service.views.news(token, session_id, n, shown)
            result = await service.views.test_aside(token, session_id, n) if seen.over else None
        except OUTAGES:
            yield ": the database does not answer\n\n"
            await asyncio.sleep(AGAIN_S)
            continue
        if seen.status != status:
            status = seen.status
            yield _event("status", TestTicket(n=n, status=status).to_dict())
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
        for point in fresh:
            yield _event("metrics", point.to_dict() | {"attempt": attempt[0]})
        shown += len(fresh)
        if result is not None:
            yield _event("result", result.to_dict())
            return
        progress = seen.progress.model_dump(exclude={"series"})
        if progress != standing:
            standing = progress
            yield _event("progress", progress)
        with contextlib.suppress(*OUTAGES):
            if not await service.lifecycle.changed(session_id, n, KEEP_ALIVE_S):
                yield ": still running\n\n"


def _event(name: str, data: Mapping[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data, allow_nan=False)}\n\n"
