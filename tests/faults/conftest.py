"""A test whose end is in the hands of the test, and locks that other processes hold on a database."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.processes import next_line, started
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.support.service import Agent, Serve, Server

TASK = """\
id = "held"
title = "A task whose runs end when they are told to"
template = "custom.py"
filename = "pkg/custom.py"
editable = [[2, 2]]
[scales.smoke]
world_size = 1
[[scales.smoke.stages]]
label = "wait"
script = "wait.sh"
role = "evaluate"
timeout_s = 120
"""
SCRIPT = """\
echo "${{OUT_DIR%/out}}" >> {folder}/executions
while [ ! -e {folder}/go ]; do sleep 0.05; done
echo '{{"metrics": {{"val_loss": 2.5}}}}' > "$OUT_DIR/metrics.json"
"""
LOCK = """\
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


class HeldTask:
    """A task folder. Its runs are real processes, each of which ends once `release` was called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "held"
        self.folder.mkdir()
        (self.folder / "task.toml").write_text(TASK)
        (self.folder / "custom.py").write_text("# A file\nA = 1\nprint(A)\n")
        (self.folder / "wait.sh").write_text(SCRIPT.format(folder=self.folder))

    def release(self) -> None:
        (self.folder / "go").touch()

    def executions(self) -> list[str]:
        """Ids of the runs that were started, once for each time."""
        file = self.folder / "executions"
        return [Path(line).name for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
def held(tmp_path: Path) -> HeldTask:
    return HeldTask(tmp_path)


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder without references: nothing is trained here."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def serve_held(serve: Serve, held: HeldTask, small_data: Path) -> Callable[..., Server]:
    """Starts a service with that task and one slot; further options may be given."""

    def start(*options: str) -> Server:
        where = ("--tasks", str(held.folder), "--data", str(small_data))
        return serve("--runner", "local", "--slots", "1", *where, *options)

    return start


@pytest.fixture
def run_under_way(held: HeldTask) -> Callable[[Server], Agent]:
    """Opens a session whose test runs by the time it is returned."""

    def begin(server: Server) -> Agent:
        agent = server.open("held")
        assert agent.call("test").status_code == 202
        until(lambda: f"{agent.id}-1-0-0" in held.executions())
        return agent

    return begin


@pytest.fixture
def comes_through(held: HeldTask) -> Callable[[Server, Agent], None]:
    """Whether a test that was under way during a fault succeeded once, and another one gets its device after it."""

    def check(server: Server, agent: Agent) -> None:
        result = agent.result(1, 60)
        assert (result["status"], result["metrics"]) == ("succeeded", {"val_loss_wait": 2.5})
        assert not result["refunded"]
        assert agent.get().json()["budget"]["tests_remaining"] == 2
        assert agent.call("test").status_code == 202
        assert agent.result(2, 60)["status"] == "succeeded"
        with server.client() as client:
            rows: list[dict[str, Any]] = client.get("/v1/leaderboards/held", params={"final": False}).json()["rows"]
            assert client.get("/readyz").json()["problems"] == []
        assert sorted(row["test"] for row in rows) == [1, 2]
        assert held.executions() == [f"{agent.id}-{n}-0-0" for n in (1, 2)]

    return check


@pytest.fixture
def locked() -> Callable[[Path], AbstractContextManager[None]]:
    """Holds the write lock of a SQLite database from a process of its own."""

    @contextmanager
    def hold(database: Path) -> Iterator[None]:
        with started([sys.executable, "-c", LOCK, str(database)], stdin=subprocess.PIPE) as process:
            assert next_line(process) == "locked\n"
            yield

    return hold


@pytest.fixture
def in_database() -> Callable[..., list[Any]]:
    """One statement on a SQLite file, committed at once."""

    def execute(database: Path, statement: str, *parameters: Any) -> list[Any]:
        with closing(sqlite3.connect(database, timeout=20)) as connection, connection:
            return connection.execute(statement, parameters).fetchall()

    return execute
