"""Several baselines played side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from env.operators.measure.play import BaselineOutcome, BaselineTest, play
from env.service.service import Service


class Audience(Protocol):
    """Is told how it goes."""

    def progress(self, part: BaselineTest, seen: Mapping[str, Any]) -> None:
        """`seen` is the test's view."""

    def over(self, played: BaselineOutcome) -> None: ...


async def play_all(
    service: Service, parts: Sequence[BaselineTest], jobs: int, audience: Audience
) -> list[BaselineOutcome]:
    """In the order of `parts`, whatever ended first; `jobs` at once. Cancelled, it stops what runs."""
    free = asyncio.Semaphore(jobs)

    async def one(part: BaselineTest) -> BaselineOutcome:
        async with free:
            played = await play(service, part, lambda seen: audience.progress(part, seen))
        audience.over(played)
        return played

    async with asyncio.TaskGroup() as group:
        under_way = [group.create_task(one(part)) for part in parts]
    return [task.result() for task in under_way]
