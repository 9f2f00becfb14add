"""Two cores: the server that is measured has the first to itself, the load comes from the second."""

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
import pytest

from tests.support.processes import next_line, started
from tests.support.service import Serve

_HERE = Path(__file__).parent
_CORES = sorted(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Target:
    """A server under load."""

    url: str
    process: psutil.Process

    def request(self, path: str, body: dict[str, Any], token: str = "") -> str:
        """A whole HTTP request as text."""
        content = json.dumps(body)
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        return (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{authorization}Content-Type: application/json\r\n"
            f"Content-Length: {len(content)}\r\n\r\n{content}"
        )

    def load(self, scripts: list[list[str]], cycles: int) -> Measured:
        """Every connection sends its script `cycles` times."""
        order = {"port": urlsplit(self.url).port, "core": _CORES[-1], "scripts": scripts, "cycles": cycles}
        before = self.process.cpu_times()
        ran = subprocess.run(
            [sys.executable, _HERE / "load.py"], input=json.dumps(order), capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        after = self.process.cpu_times()
        seen = json.loads(ran.stdout)
        return Measured(
            rate=seen["requests"] / seen["seconds"],
            p50_us=statistics.median(seen["latencies_us"]),
            p99_us=statistics.quantiles(seen["latencies_us"], n=100)[98],
            cpu_us=(after.user + after.system - before.user - before.system) * 1e6 / seen["requests"],
            client_busy=seen["cpu_s"] / seen["seconds"],
        )


@dataclass(frozen=True)
class Measured:
    rate: float
    """Requests per second."""
    p50_us: float
    p99_us: float
    cpu_us: float
    """The server's processor time per request."""
    client_busy: float
    """Share of its core that the load generator used: near 1, it would be the client that is measured."""


@pytest.fixture(autouse=True)
def _two_cores() -> None:
    if len(_CORES) < 2:
        pytest.skip("server and load need a core each")


@pytest.fixture
def service(serve: Serve) -> tuple[Any, Target]:
    """`ringfence serve` on the first core: the server of the other tests, and the same as a target."""
    with _on_core(_CORES[0]):
        server = serve("--runner", "fake")
    return server, Target(server.url, psutil.Process(server.pid))


@pytest.fixture
def echo() -> Iterator[Target]:
    with ExitStack() as ends:
        with _on_core(_CORES[0]):
            process = ends.enter_context(started([sys.executable, _HERE / "echo.py"]))
        yield Target(next_line(process).strip(), psutil.Process(process.pid))


@contextlib.contextmanager
def _on_core(core: int) -> Iterator[None]:
    """Processes started in here inherit it."""
    os.sched_setaffinity(0, {core})
    yield
    os.sched_setaffinity(0, _CORES)
