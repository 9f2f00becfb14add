"""Agents at work while their service's surroundings fail at random moments; and what must hold at the end."""

from __future__ import annotations

import random
import re
import resource
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import httpx

from tests.support.waiting import Deadline, threads, until

if TYPE_CHECKING:
    from tests.faults.conftest import HeldTask
    from tests.support.postgres import Postgres
    from tests.support.service import Agent, Server

AGENTS = 2
PATIENCE_S = 90.0
Locked = Callable[[Path], AbstractContextManager[None]]
KEYS = count(1)


class Player:
    """Opens sessions, edits and tests in them; every call is repeated under its key until it is answered."""

    def __init__(self, server: Server, seed: int) -> None:
        self._server = server
        self._random = random.Random(seed)
        self.sessions: list[Agent] = []
        self.edits: dict[str, list[str]] = {}
        """Acknowledged, by session, in order."""
        self.tests: dict[str, int] = {}
        """How many were acknowledged, by session."""

    def play(self, over: Event) -> None:
        while not over.is_set():
            self._open()
            agent = self.sessions[-1]
            for _ in range(3):
                for _ in range(self._random.randint(1, 6)):
                    if not over.is_set():
                        self._edit(agent)
                    time.sleep(self._random.uniform(0, 0.1))
                if not over.is_set():
                    self._test(agent)
                while not over.is_set() and not self._ended(agent):
                    time.sleep(0.1)

    def _open(self) -> None:
        deadline = Deadline(PATIENCE_S)
        while True:
            try:
                self.sessions.append(self._server.open("held"))
                break
            except (httpx.TransportError, AssertionError):  # refused: another one is opened then
                deadline.check("for a session")
                time.sleep(0.2)
        self.edits[self.sessions[-1].id], self.tests[self.sessions[-1].id] = [], 0

    def _edit(self, agent: Agent) -> None:
        line = f"A = {self._random.randrange(10**12)}"
        wish = {"start_line": 2, "end_line": 2, "content": line}
        if self._acknowledged(lambda key: agent.call("edit", wish, headers=key), 200):
            self.edits[agent.id].append(line)

    def _test(self, agent: Agent) -> None:
        if self._acknowledged(lambda key: agent.call("test", headers=key), 202):
            self.tests[agent.id] += 1

    def _ended(self, agent: Agent) -> bool:
        try:
            answer = agent.get(f"/tests/{self.tests[agent.id]}")
        except httpx.TransportError:
            return False
        assert answer.status_code in (200, 429), answer.text
        return answer.status_code == 200 and answer.json()["ended_at"] is not None

    def _acknowledged(self, ask: Callable[[dict[str, str]], httpx.Response], status: int) -> bool:
        key, deadline = {"Idempotency-Key": f"soak-{next(KEYS)}"}, Deadline(PATIENCE_S)
        while True:
            try:
                answer = ask(key)
            except httpx.TransportError:
                deadline.check("for an answer")
            else:
                if answer.status_code == status:
                    return True
                assert answer.status_code == 429, f"{answer.status_code}: {answer.text}"
                deadline.check(f"for better than {answer.text}")
                if answer.json()["code"] not in ("database_unavailable", "cannot_run_now"):
                    return False
            time.sleep(0.1)


class Faults:
    """What may happen, by name."""

    def __init__(self, server: Server, chance: random.Random, locked: Locked, postgres: Postgres | None) -> None:
        self._server, self._random, self._locked, self._postgres = server, chance, locked, postgres
        self._url = server.arguments[server.arguments.index("--db") + 1] if postgres else ""
        self.kinds: dict[str, Callable[[], None]] = {"service killed": self._kill, "service stopped": self._stop}
        if postgres is None:
            self.kinds |= {"file locked": self._lock_file, "disk full": self._fill}
        else:
            self.kinds |= {
                "table locked": self._lock_table,
                "connections cut": lambda: print(f"  {postgres.cut(self._url)} cut"),
                "database killed": self._kill_database,
                "database frozen": self._freeze_database,
                "both killed": self._kill_both,
            }

    def one(self) -> str:
        """Has something happen, and returns what, once it is over."""
        name = self._random.choice(sorted(self.kinds))
        self.kinds[name]()
        return name

    def _while(self) -> None:
        time.sleep(self._random.uniform(0.2, 6))

    def _kill(self) -> None:
        self._server.kill()
        self._server.start()

    def _stop(self) -> None:
        with _signalled(self._server.pid):
            self._while()

    def _lock_file(self) -> None:
        with self._locked(self._server.state / "ringfence.db"):
            self._while()

    def _fill(self) -> None:
        """No file of the service's can grow: what it writes is refused as on a full disk."""
        size = (self._server.state / "ringfence.db-wal").stat().st_size
        was = resource.prlimit(self._server.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        self._while()
        resource.prlimit(self._server.pid, resource.RLIMIT_FSIZE, was)

    def _lock_table(self) -> None:
        import psycopg

        with psycopg.connect(self._url.replace("+psycopg", "")) as other:
            other.execute(f"LOCK TABLE {self._random.choice(('steps', 'tests', 'runs', 'results'))}")
            self._while()

    def _kill_database(self) -> None:
        assert self._postgres is not None
        self._postgres.kill()
        self._while()
        self._postgres.start()

    def _freeze_database(self) -> None:
        assert self._postgres is not None
        with self._postgres.frozen():
            self._while()

    def _kill_both(self) -> None:
        assert self._postgres is not None
        self._server.kill()
        self._postgres.kill()
        self._postgres.start()
        self._server.start()


@contextmanager
def _signalled(pid: int) -> Iterator[None]:
    from os import kill

    kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        kill(pid, signal.SIGCONT)


def soak(
    server: Server, held: HeldTask, locked: Locked, postgres: Postgres | None, seed: int, seconds: float
) -> Counter[str]:
    """Plays so long, and asserts that nothing was lost, doubled or left; returns what happened how often."""
    chance, happened, over = random.Random(seed), Counter[str](), Event()
    faults = Faults(server, chance, locked, postgres)
    players = [Player(server, seed * 100 + number) for number in range(AGENTS)]
    with threads(AGENTS) as pool:
        played = [pool.submit(player.play, over) for player in players]
        try:
            until(lambda: all(player.edits and any(player.edits.values()) for player in players), PATIENCE_S)
            deadline = Deadline(seconds)
            while not deadline.over and not any(each.done() for each in played):
                time.sleep(chance.uniform(0.3, 2))
                what = faults.one()
                happened[what] += 1
                print(f"  {what}", flush=True)
        finally:
            over.set()
        for each in played:
            each.result(2 * PATIENCE_S)
    _check(server, held, players)
    happened["edits"] = sum(len(some) for player in players for some in player.edits.values())
    happened["tests"] = sum(sum(player.tests.values()) for player in players)
    return happened


def _check(server: Server, held: HeldTask, players: list[Player]) -> None:
    def ready() -> bool:
        with server.client() as client:
            return client.get("/readyz").is_success

    until(ready, PATIENCE_S, 0.2, server.log)
    rows = Counter[str]()
    succeeded = set()
    for player in players:
        for agent in player.sessions:
            tests = [agent.result(n, PATIENCE_S) for n in range(1, player.tests[agent.id] + 1)]
            seen = agent.get().json()
            assert [test["n"] for test in seen["tests"]] == [test["n"] for test in tests], "tests lost, or paid twice"
            assert [test["status"] for test in tests if test["status"] != "succeeded"] == []
            succeeded |= {f"{agent.id}-{test['n']}" for test in tests}
            steps = agent.get("/trajectory").json()["steps"]
            assert [step["step"] for step in steps] == list(range(1, len(steps) + 1))
            kept = [step["input"]["content"] for step in steps if step["tool"] == "edit" and step["ok"]]
            assert kept == player.edits[agent.id], "acknowledged steps lost, or doubled"
    last = server.open("held")
    assert last.call("test").status_code == 202
    assert last.result(1, PATIENCE_S)["status"] == "succeeded", "its device was leased to nobody"
    with server.client() as client:
        board = client.get("/v1/leaderboards/held", params={"final": False, "limit": 10_000}).json()["rows"]
    rows.update(row["run_key"] for row in board)
    assert rows == Counter(succeeded | {f"{last.id}-1"}), "one row a test"
    assert [run for run, times in Counter(held.executions()).items() if times > 1] == []
    assert re.findall(r"^Traceback", server.log(), re.MULTILINE) == [], server.log()[-4000:]
