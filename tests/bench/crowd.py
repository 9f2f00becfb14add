"""A crowd on one service: agents who edit at a human pace, listeners of event streams, downloads and a monitor.

Reads an order as JSON from standard input: `port`, `core`, `seconds`, `pause_s` (between an agent's edits), `edits`
(for each agent the requests it repeats), `streams` and `downloads` (requests; a download is begun again when it is
over). Prints `{edits_ms, monitor_ms, heard_bytes, downloads, downloaded_bytes, refused}` as JSON.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

MONITOR = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
MONITOR_PAUSE_S = 0.05


@dataclass
class Seen:
    edits_ms: list[float] = field(default_factory=list)
    monitor_ms: list[float] = field(default_factory=list)
    heard_bytes: int = 0
    downloads: Counter[str] = field(default_factory=Counter)
    """Whole ones, by address."""
    downloaded_bytes: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Answers other than 200, by their first line."""


class Crowd:
    def __init__(self, order: dict[str, Any]) -> None:
        self._order = order
        self._ends = time.perf_counter() + order["seconds"]
        self.seen = Seen()

    async def gather(self) -> None:
        order = self._order
        await asyncio.gather(
            self._repeat([MONITOR], self.seen.monitor_ms, MONITOR_PAUSE_S, 0.0),
            *(
                self._repeat(
                    [request.encode() for request in script],
                    self.seen.edits_ms,
                    order["pause_s"],
                    order["pause_s"] * number / len(order["edits"]),
                )
                for number, script in enumerate(order["edits"])
            ),
            *(self._listen(request.encode()) for request in order["streams"]),
            *(self._download(request.encode()) for request in order["downloads"]),
        )

    @property
    def _left(self) -> float:
        return self._ends - time.perf_counter()

    async def _repeat(self, script: list[bytes], taken_ms: list[float], pause_s: float, after_s: float) -> None:
        """Requests on one connection, with pauses; the first `after_s` from now, so that agents do not march."""
        await asyncio.sleep(after_s)
        reader, writer = await asyncio.open_connection("127.0.0.1", self._order["port"])
        for request in itertools.cycle(script):
            if self._left <= 0:
                break
            began = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(_length(head))
            taken_ms.append((time.perf_counter() - began) * 1000)
            self._check(head)
            await asyncio.sleep(pause_s)
        writer.close()

    async def _listen(self, request: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._order["port"])
        writer.write(request)
        while self._left > 0:
            try:
                piece = await asyncio.wait_for(reader.read(1 << 16), self._left)
            except TimeoutError:
                break
            if not piece:
                self.seen.refused["the stream ended"] += 1
                break
            self.seen.heard_bytes += len(piece)
        writer.close()

    async def _download(self, request: bytes) -> None:
        """Each on a connection of its own, which the service closes at the end of the answer."""
        while self._left > 0:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._order["port"])
            writer.write(request)
            try:
                self._check(await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), max(self._left, 0.01)))
                while piece := await asyncio.wait_for(reader.read(1 << 16), max(self._left, 0.01)):
                    self.seen.downloaded_bytes += len(piece)
                self.seen.downloads[request.split(b" ", 2)[1].decode()] += 1
            except TimeoutError:
                pass
            writer.close()

    def _check(self, head: bytes) -> None:
        if not head.startswith(b"HTTP/1.1 200"):
            self.seen.refused[head.split(b"\r\n", 1)[0].decode()] += 1


def _length(head: bytes) -> int:
    start = head.lower().index(b"content-length:") + len(b"content-length:")
    return int(head[start:].split(b"\r\n", 1)[0])


if __name__ == "__main__":
    given = json.load(sys.stdin)
    os.sched_setaffinity(0, {given["core"]})
    crowd = Crowd(given)
    asyncio.run(crowd.gather())
    print(json.dumps(vars(crowd.seen)))
