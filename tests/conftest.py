"""A real service on a real port, for every test that needs one."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest


class Server:
    """`ringfence serve` as a process. `kill` is SIGKILL; `start` again picks up the same state folder."""

    def __init__(self, state: Path, arguments: tuple[str, ...]) -> None:
        self.state = state
        self.arguments = arguments
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def start(self) -> Server:
        command = [sys.executable, "-m", "env.cli", "serve", "--port", "0", "--state", str(self.state)]
        with (self.state.parent / f"{self.state.name}.log").open("a") as log:
            self._process = subprocess.Popen(
                [*command, *self.arguments], stdout=subprocess.PIPE, stderr=log, text=True, env=_plain_environment()
            )
        assert self._process.stdout is not None
        first = self._process.stdout.readline()
        found = re.search(r"http://\S+", first)
        assert found is not None, f"no address in {first!r}; the log says: {self.log()}"
        self.url = found[0]
        return self

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def log(self) -> str:
        return (self.state.parent / f"{self.state.name}.log").read_text()

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(20)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def client(self, token: str | None = None) -> httpx.Client:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=90)

    def open(self, task: str = "llm-pretrain-normalization", **more: Any) -> Agent:
        with self.client() as client:
            answer = client.post("/v1/sessions", json={"task": task, "agent": "tester", **more})
        assert answer.status_code == 201, answer.text
        return Agent(self, answer.json())


class Agent:
    """A session, used by HTTP."""

    def __init__(self, server: Server, opened: dict[str, Any]) -> None:
        self.opened = opened
        self.id: str = opened["session_id"]
        self.token: str = opened["token"]
        self._server = server

    def call(self, tool: str, arguments: dict[str, Any] | None = None, **options: Any) -> httpx.Response:
        return self.post(f"/{tool}", json=arguments or {}, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        with self._server.client(self.token) as client:
            return client.post(f"/v1/sessions/{self.id}{path}", **options)

    def get(self, path: str = "", **options: Any) -> httpx.Response:
        with self._server.client(self.token) as client:
            return client.get(f"/v1/sessions/{self.id}{path}", **options)

    def result(self, n: int) -> dict[str, Any]:
        """The test's view, once it is final."""
        while True:
            seen: dict[str, Any] = self.get(f"/tests/{n}", params={"wait": 20}).json()
            if seen["ended_at"] is not None:
                return seen


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """`serve("--runner", "fake", ...)` starts a service in a state folder of its own, stopped at the end."""
    servers: list[Server] = []

    def start(*arguments: str) -> Server:
        servers.append(Server(tmp_path / f"state{len(servers)}", arguments or ("--runner", "fake")))
        return servers[-1].start()

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One service with the fake runner for all tests of a module; each opens sessions of its own."""
    server = Server(tmp_path_factory.mktemp("shared") / "state", ("--runner", "fake")).start()
    yield server
    server.stop()


def _plain_environment() -> dict[str, str]:
    """Without the RINGFENCE_* settings of whoever runs the tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith("RINGFENCE_")}
