"""A crowd on a service with much in its database: agents edit while others listen and download.

What is judged is what agents and monitors feel, beside the same service, in the same run, with the agents alone.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from tests.bench.filling import FULL_SESSION, fill
from tests.bench.target import CORES, post
from tests.bench.test_edits import SAME
from tests.support.service import TASK, Serve, Server

SESSIONS, ROWS, STEPS = 1_000, 100_000, 1_000_000
AGENTS, LISTENERS = 50, 20
ROUNDS = 3
SECONDS = 20.0
PAUSE_S = 0.5
"""An agent's, between two edits: hundreds of times less than a model takes to think."""
WORST_MONITOR_MS = 500
WORST_P99 = 5
MOST_MB = 300
"""That the load may add to the service's memory."""

TALKS = """\
id = "talks"
title = "Reports many losses"
template = "custom.py"
filename = "pkg/custom.py"
editable = [[1, 1]]
[scales.smoke]
world_size = 1
[[scales.smoke.stages]]
label = "talks"
script = "talks.sh"
role = "train"
timeout_s = 600
"""
SCRIPT = """\
for i in $(seq 1 10000); do
    echo "TRAIN_METRICS: step=$i, train_loss=2.5000, val_loss=2.5000"
    if [ $((i % 100)) = 0 ]; then sleep 0.5; fi
done
sleep 600
"""


@dataclass(frozen=True, kw_only=True)
class Felt:
    """What agents and a monitor felt for some seconds, and what the service took."""

    edits_ms: list[float]
    monitor_ms: list[float]
    heard_bytes: int
    """By all listeners together."""
    downloads: dict[str, int]
    """Whole ones, by address."""
    downloaded_bytes: int
    refused: dict[str, int]
    memory_mb: float
    """The most that was resident."""

    @property
    def p99_ms(self) -> float:
        return statistics.quantiles(self.edits_ms, n=100)[98]

    def __str__(self) -> str:
        return (
            f"{len(self.edits_ms)} edits, p50 {statistics.median(self.edits_ms):.1f} ms, p99 {self.p99_ms:.1f} ms; "
            f"healthz p50 {statistics.median(self.monitor_ms):.1f} ms, worst {max(self.monitor_ms):.1f} ms; "
            f"{sum(self.downloads.values())} downloads, {self.downloaded_bytes / 1e6:.0f} MB; "
            f"heard {self.heard_bytes / 1e6:.1f} MB; resident {self.memory_mb:.0f} MB"
        )


@dataclass(frozen=True, kw_only=True)
class Pair:
    alone: Felt
    """The agents."""
    crowded: Felt
    """The same agents, with listeners and downloads."""


@pytest.mark.timeout(1200)
def test_a_crowd_holds_up_nobody(serve: Serve, tmp_path: Path) -> None:
    pairs = measure_load(
        serve, tmp_path, sessions=SESSIONS, rows=ROWS, steps=STEPS, agents=AGENTS, seconds=SECONDS, rounds=ROUNDS
    )
    p99 = statistics.median(pair.crowded.p99_ms / pair.alone.p99_ms for pair in pairs)
    worst = statistics.median(max(pair.crowded.monitor_ms) for pair in pairs)
    alone = statistics.median(max(pair.alone.monitor_ms) for pair in pairs)
    grown = max(pair.crowded.memory_mb for pair in pairs) - pairs[0].alone.memory_mb
    print(f"p99 of an edit: {p99:.1f} times that without the crowd")
    print(f"worst /healthz: {worst:.0f} ms, {worst / alone:.1f} times that without the crowd; memory: +{grown:.0f} MB")
    assert not any(felt.refused for pair in pairs for felt in (pair.alone, pair.crowded))
    assert worst < WORST_MONITOR_MS
    assert p99 < WORST_P99
    assert grown < MOST_MB


def measure_load(
    serve: Serve, folder: Path, *, sessions: int, rows: int, steps: int, agents: int, seconds: float, rounds: int
) -> list[Pair]:
    """On a new service with so much in its database: the agents alone and with the crowd, in turns."""
    task = folder / "talks"
    task.mkdir()
    for name, content in (("task.toml", TALKS), ("custom.py", "NOTES = None\n"), ("talks.sh", SCRIPT)):
        (task / name).write_text(content)
    data = str(folder / "data")  # its own: nothing is trained
    server = serve("--runner", "local", "--slots", "1", "--tasks", str(task), "--data", data)
    server.stop()  # its database is made, and so is what a first start prepares
    database = server.state / "ringfence.db"
    began = time.perf_counter()
    fill(database, sessions=sessions, rows=rows, steps=steps)
    print(f"{database.stat().st_size / 1e6:.0f} MB filled in {time.perf_counter() - began:.0f} s")
    server.start()
    edits = [[_edit(server.open())] for _ in range(agents)]
    crowd = _crowd(server)
    _felt(server, edits, [], [], min(seconds, 5.0))  # to warm up
    pairs = []
    for _ in range(rounds):
        alone = _felt(server, edits, [], [], seconds)
        print(f"agents alone      {alone}")
        crowded = _felt(server, edits, *crowd, seconds)
        print(f"with the crowd    {crowded}")
        pairs.append(Pair(alone=alone, crowded=crowded))
    return pairs


def _crowd(server: Server) -> tuple[list[str], list[str]]:
    """The requests of listeners to a test that talks, and of downloads."""
    talking = server.open("talks")
    assert talking.call("test").status_code == 202
    events = _get(f"/v1/sessions/{talking.id}/tests/1/events", talking.token)
    board = f"/v1/leaderboards/{TASK}"
    downloads = [
        f"{board}.csv?final=false",
        f"{board}?final=false&limit=10000",
        f"/v1/sessions/{FULL_SESSION}/trajectory",
        f"/tasks/{TASK}?final=false",
        "/",
    ]
    return [events] * LISTENERS, [_get(path) for path in downloads]


def _edit(agent: Any) -> str:
    return post(f"/v1/sessions/{agent.id}/edit", SAME, agent.token)


def _get(path: str, token: str = "") -> str:
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{authorization}Connection: close\r\n\r\n"


def _felt(server: Server, edits: list[list[str]], streams: list[str], downloads: list[str], seconds: float) -> Felt:
    order = {
        "port": urlsplit(server.url).port,
        "core": CORES[-1],
        "seconds": seconds,
        "pause_s": PAUSE_S,
        "edits": edits,
        "streams": streams,
        "downloads": downloads,
    }
    service = psutil.Process(server.pid)
    most = 0
    command = [sys.executable, Path(__file__).parent / "crowd.py"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        json.dump(order, process.stdin)
        process.stdin.close()
        deadline = time.monotonic() + seconds + 120
        while process.poll() is None and time.monotonic() < deadline:
            most = max(most, service.memory_info().rss)
            time.sleep(0.05)
        process.kill()
        assert process.stdout is not None
        told = process.stdout.read()
    return Felt(**json.loads(told), memory_mb=most / 1e6)
