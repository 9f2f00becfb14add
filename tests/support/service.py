"""`ringfence serve` as a process, and the sessions that agents open there."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.support.containers import remove_containers
from tests.support.processes import kill_under, next_line, plain_environment
from tests.support.waiting import Deadline

TASK = "llm-pretrain-normalization"
"""The built-in task that tests use where it does not matter which."""


COMMAND = (sys.executable, "-m", "env.cli")
"""This environment's `ringfence`."""


class Server:
    """`ringfence serve` as a process. `kill` is SIGKILL; `start` again picks up the same state folder."""

    def __init__(self, state: Path, arguments: tuple[str, ...], command: tuple[str, ...] = COMMAND) -> None:
        self.state = state
        self.arguments = arguments
        self.command = command
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def start(self) -> Server:
        command = [*self.command, "serve", "--port", "0", "--state", str(self.state)]
        with (self.state.parent / f"{self.state.name}.log").open("a") as log:
            self._process = subprocess.Popen(
                [*command, *self.arguments], stdout=subprocess.PIPE, stderr=log, text=True, env=plain_environment()
            )
        first = next_line(self._process)
        found = re.search(r"http://\S+", first)
        assert found is not None, f"no address in {first!r}; the log says: {self.log()}"
        self.url = found[0]
        return self

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def database(self) -> str:
        """Its URL."""
        if "--db" in self.arguments:
            return self.arguments[self.arguments.index("--db") + 1]
        return f"sqlite:///{self.state / 'ringfence.db'}"

    def log(self) -> str:
        return (self.state.parent / f"{self.state.name}.log").read_text()

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def close(self) -> None:
        """Stops it, and whatever it ran: a service leaves its runs to the next one."""
        try:
            self.stop()
        finally:
            runs = self.state / "runs"
            if runs.exists() and any(runs.iterdir()):
                if "docker" in self.arguments:
                    remove_containers(str(runs))
                kill_under(runs)

    def _end(self, number: int) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(number)
        try:
            process.wait(20)
        finally:
            process.kill()
            process.wait(20)
            if process.stdout is not None:
                process.stdout.close()

    def client(self, token: str | None = None) -> httpx.Client:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        # There is no TLS here; else every client would begin with reading all certificates of this host.
        return httpx.Client(base_url=self.url, headers=headers, timeout=90, verify=False)

    def open(self, task: str = TASK, **more: Any) -> Agent:
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

    def result(self, n: int, patience_s: float = 280) -> dict[str, Any]:
        """The test's view, once it is final."""
        deadline = Deadline(patience_s)
        while True:
            seen: dict[str, Any] = self.get(f"/tests/{n}", params={"wait": 20}).json()
            if seen["ended_at"] is not None:
                return seen
            deadline.check(f"for the end of test {n}, which is {seen['status']}")


Serve = Callable[..., Server]
"""Starts a service with these options; by another `command` than this environment's, if one is given."""


@contextmanager
def services(
    make_folder: Callable[[], Path],
    *default: str,
    data: Callable[[], Path] | None = None,
    database: Callable[[], str | None] = lambda: None,
) -> Iterator[Serve]:
    """Starts services, each in a state folder of its own; all are closed at the end.

    Each is on a `database` of its own, unless it names one; None is the file in its state folder.
    Those that really run tests are on the `data` folder, unless they name another.
    """
    with ExitStack() as ends:

        def start(*arguments: str, command: tuple[str, ...] = COMMAND) -> Server:
            arguments = arguments or default
            if data is not None and "--data" not in arguments and {"local", "docker", "slurm"} & set(arguments):
                arguments = (*arguments, "--data", str(data()))
            if "--db" not in arguments and (url := database()) is not None:
                arguments = (*arguments, "--db", url)
            server = Server(make_folder(), arguments, command)
            ends.callback(server.close)
            return server.start()

        yield start
