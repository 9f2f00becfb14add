"""Several baselines played side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from env.house import House
from env.measure.play import Part, Played, play


class Audience(Protocol):
    """Is told how it goes."""

    def progress(self, part: Part, seen: Mapping[str, Any]) -> None:
        """`seen` is the test's view."""

    def over(self, played: Played) -> None: ...


async def play_all(house: House, parts: Sequence[Part], jobs: int, audience: Audience) -> list[Played]:
    """In the order of `parts`, whatever ended first; `jobs` at once. Cancelled, it stops what runs."""
    free = asyncio.Semaphore(jobs)

    async def one(part: Part) -> Played:
        async with free:
            played = await play(house, part, lambda seen: audience.progress(part, seen))
        audience.over(played)
        return played

    async with asyncio.TaskGroup() as group:
        under_way = [group.create_task(one(part)) for part in parts]
    return [task.result() for task in under_way]
