"""Servers under load: how they are started and loaded, and what is measured of them.

There are two cores: every server has the first one to itself while the others are idle, the load comes from the last.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from tests.support.processes import next_line, started
from tests.support.service import Serve, Server

_HERE = Path(__file__).parent
CORES = sorted(os.sched_getaffinity(0))


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one load came to."""

    seconds: float
    latencies_us: tuple[float, ...]
    """One for each request."""
    server_cpu_s: float
    client_busy: float
    """Share of its core that the load generator used: near 1, it would be the client that is measured."""

    @property
    def rate(self) -> float:
        """Requests per second."""
        return len(self.latencies_us) / self.seconds

    @property
    def cpu_us(self) -> float:
        """The server's processor time per request."""
        return self.server_cpu_s * 1e6 / len(self.latencies_us)

    @property
    def p50_us(self) -> float:
        return statistics.median(self.latencies_us)

    @property
    def p99_us(self) -> float:
        return statistics.quantiles(self.latencies_us, n=100)[98]

    def row(self, name: str) -> str:
        return (
            f"{name:<24}{self.rate:8.0f} /s   p50 {self.p50_us:6.0f} us   p99 {self.p99_us:6.0f} us   "
            f"server {self.cpu_us:5.0f} us each   client busy {self.client_busy:4.0%}"
        )


@dataclass(frozen=True)
class Target:
    """A server under load."""

    url: str
    process: psutil.Process

    def load(self, scripts: list[list[str]], cycles: int) -> Measured:
        """Opens a connection for every script, and each sends its script `cycles` times."""
        order = {"port": urlsplit(self.url).port, "core": CORES[-1], "scripts": scripts, "cycles": cycles}
        before = self.process.cpu_times()
        ran = subprocess.run(
            [sys.executable, _HERE / "load.py"], input=json.dumps(order), capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        after = self.process.cpu_times()
        seen = json.loads(ran.stdout)
        return Measured(
            seconds=seen["seconds"],
            latencies_us=tuple(seen["latencies_us"]),
            server_cpu_s=after.user + after.system - before.user - before.system,
            client_busy=seen["cpu_s"] / seen["seconds"],
        )


@dataclass(frozen=True)
class ServiceTarget(Target):
    """`ringfence serve` under load."""

    server: Server
    """It opens sessions."""


def start_service(serve: Serve, command: tuple[str, ...] | None = None) -> ServiceTarget:
    """Starts the service on the first core, with the fixture `serve`; by another `command` than this environment's."""
    with _on_core(CORES[0]):
        server = serve("--runner", "fake") if command is None else serve("--runner", "fake", command=command)
    return ServiceTarget(server.url, psutil.Process(server.pid), server)


@contextlib.contextmanager
def bare_echo() -> Iterator[Target]:
    """The yardstick on the first core, stopped at the end."""
    with ExitStack() as ends:
        with _on_core(CORES[0]):
            process = ends.enter_context(started([sys.executable, _HERE / "echo.py"]))
        yield Target(next_line(process).strip(), psutil.Process(process.pid))


def post(path: str, body: dict[str, Any], token: str = "") -> str:
    """A whole HTTP request as text."""
    content = json.dumps(body)
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{authorization}Content-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n\r\n{content}"
    )


@contextlib.contextmanager
def _on_core(core: int) -> Iterator[None]:
    """Processes started in here inherit it."""
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, CORES)
