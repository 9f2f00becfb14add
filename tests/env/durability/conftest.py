"""An operator's own small task, and a client that outlives the service."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.support.processes import living_under
from tests.support.waiting import Deadline, until

if TYPE_CHECKING:
    from tests.support.service import Agent, Serve, Server

SCRIPT = '''\
"""Nothing runs this: the stages bring scripts of their own."""
# Notes, newest first
NOTES = None

print(NOTES)
'''
TASK = """\
id = "tiny"
title = "A task of an operator's own"
template = "custom.py"
filename = "pkg/custom.py"
editable = [[2, 3]]
[budget]
tests = {tests}
[scales.smoke]
world_size = 1
"""
STAGE = """\
[[scales.smoke.stages]]
label = "{label}"
script = "{script}"
role = "{role}"
timeout_s = {timeout_s}
"""


class TaskFolder:
    """A task folder to be filled, and what its scripts left."""

    def __init__(self, path: Path) -> None:
        self.path = path / "tiny"
        self._executions = path / "executions"

    def write(self, tests: int = 3) -> TaskFolder:
        self.path.mkdir()
        (self.path / "custom.py").write_text(SCRIPT)
        (self.path / "task.toml").write_text(TASK.format(tests=tests))
        return self

    def stage(self, label: str, script: str, role: str = "evaluate", timeout_s: float = 60) -> TaskFolder:
        """Adds a stage. Each execution of its script leaves a line outside its folder."""
        name = f"{label}.sh"
        # One short write with O_APPEND: two executions at once leave two lines.
        counted = f'echo "${{OUT_DIR%/out}}" >> {self._executions}\n{script}\n'
        (self.path / name).write_text(counted)
        with (self.path / "task.toml").open("a") as file:
            file.write(STAGE.format(label=label, script=name, role=role, timeout_s=timeout_s))
        return self

    def executions(self) -> list[str]:
        """Ids of the runs whose scripts were started, once for each time."""
        if not self._executions.exists():
            return []
        return [Path(line).name for line in self._executions.read_text().splitlines()]


@pytest.fixture
def tiny(tmp_path: Path) -> TaskFolder:
    return TaskFolder(tmp_path)


@pytest.fixture(scope="session")
def data(smoke_data: Path) -> Path:
    """One data folder for all services: making it takes longer than starting one."""
    return smoke_data


@pytest.fixture
def serve_local(serve: Serve, tiny: TaskFolder, data: Path) -> Callable[[int], Server]:
    """Starts a service with the small task, running tests as processes, so many at a time."""

    def start(slots: int) -> Server:
        # Its file is no model, which is found out before a test is spent unless the service is told not to look.
        options = ("--runner", "local", "--no-foresight", "--slots", str(slots))
        arguments = (*options, "--tasks", str(tiny.path), "--data", str(data))
        return serve(*arguments)

    return start


class Persistent:
    """Calls a service that may be down or die meanwhile: calls are repeated, for minutes on a busy machine."""

    def __init__(self, server: Server, agent: Agent) -> None:
        self.server = server
        self.agent = agent
        self._http = httpx.Client(timeout=30, headers={"Authorization": f"Bearer {agent.token}"})

    def request(self, method: str, path: str = "", **options: Any) -> httpx.Response:
        deadline = Deadline(150)
        while True:
            try:
                return self._http.request(method, f"{self.server.url}/v1/sessions/{self.agent.id}{path}", **options)
            except httpx.TransportError:
                deadline.check("for an answer")
                time.sleep(0.02)

    def get(self, path: str = "") -> dict[str, Any]:
        answer = self.request("GET", path)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def post(self, tool: str, key: str, arguments: dict[str, Any] | None = None) -> httpx.Response:
        return self.request("POST", f"/{tool}", json=arguments or {}, headers={"Idempotency-Key": key})

    def result(self, n: int, kind: str = "tests") -> dict[str, Any]:
        """Of a test, or of one of the `probes`, once it is over."""
        deadline = Deadline(200)
        while (seen := self.get(f"/{kind}/{n}"))["ended_at"] is None:
            deadline.check(f"for the end of {kind} {n}, which is {seen['status']}")
            time.sleep(0.05)
        return seen

    def close(self) -> None:
        self._http.close()


@pytest.fixture
def persistent() -> Iterator[Callable[[Server, Agent], Persistent]]:
    with ExitStack() as ends:

        def connect(server: Server, agent: Agent) -> Persistent:
            client = Persistent(server, agent)
            ends.callback(client.close)
            return client

        yield connect


@pytest.fixture
def rows() -> Callable[..., list[dict[str, Any]]]:
    """Every row of a task's leaderboard, submitted or not."""

    def read(server: Server, task: str = "tiny") -> list[dict[str, Any]]:
        with server.client() as client:
            answer = client.get(f"/v1/leaderboards/{task}", params={"final": False})
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["rows"]
        return found

    return read


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], None]:
    """Waits until something holds."""
    return until


@pytest.fixture
def nothing_left(eventually: Callable[[Callable[[], object]], None]) -> Callable[[Server], None]:
    """Waits until no run has a folder or a process any more."""

    def check(server: Server) -> None:
        runs = server.state / "runs"
        eventually(lambda: list(runs.iterdir()) == [])
        until(lambda: living_under(runs) == [], pause_s=0.1)  # what deletes them may just be ending

    return check
