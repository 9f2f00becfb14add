"""A SQLite database that somebody else locks, or that holds what cannot be read: nobody's result depends on it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.service import TASK
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.faults.conftest import HeldTask
    from tests.support.service import Agent, Serve, Server

LOCKED_S = 12.5


def test_an_outcome_waits_for_a_lock_of_somebody_else(
    serve_held: Callable[..., Server],
    held: HeldTask,
    run_under_way: Callable[[Server], Agent],
    comes_through: Callable[[Server, Agent], None],
    locked: Callable[[Path], AbstractContextManager[None]],
) -> None:
    server = serve_held()
    agent = run_under_way(server)
    with locked(server.state / "ringfence.db"), server.client() as client:
        released = time.monotonic()
        held.release()
        until(lambda: "is held until the database takes it" in server.log())
        refused = agent.call("edit", {"start_line": 2, "end_line": 2, "content": "A = 2"})
        assert refused.status_code == 429
        assert refused.headers["Retry-After"] == "2"
        assert (refused.json()["ok"], refused.json()["code"]) == (False, "database_unavailable")
        assert refused.json()["observation"].startswith("ERROR: The service's database does not answer")
        assert agent.get("/tests/1").json()["status"] == "running"  # what only reads waits for nobody
        unready = client.get("/readyz")
        assert unready.status_code == 503
        assert "the database does not answer: database is locked" in unready.json()["problems"]
        began = time.monotonic()
        assert client.get("/healthz").json() == {"ok": True}
        assert time.monotonic() - began < 3
        assert any((server.state / "runs").iterdir())
        time.sleep(max(0.0, LOCKED_S - (time.monotonic() - released)))
    comes_through(server, agent)
    assert agent.call("edit", {"start_line": 2, "end_line": 2, "content": "A = 2"}).json()["revision"] == 1
    assert "Traceback" not in server.log()


def test_a_service_that_dies_while_it_holds_an_outcome_finds_it_again(
    serve_held: Callable[..., Server],
    held: HeldTask,
    run_under_way: Callable[[Server], Agent],
    comes_through: Callable[[Server, Agent], None],
    locked: Callable[[Path], AbstractContextManager[None]],
) -> None:
    server = serve_held()
    agent = run_under_way(server)
    with locked(server.state / "ringfence.db"):
        held.release()
        until(lambda: "is held until the database takes it" in server.log())
        server.kill()
    server.start()
    comes_through(server, agent)


def test_a_lock_just_after_a_test_has_ended_stops_no_loop(
    serve_held: Callable[..., Server],
    held: HeldTask,
    run_under_way: Callable[[Server], Agent],
    comes_through: Callable[[Server, Agent], None],
    locked: Callable[[Path], AbstractContextManager[None]],
) -> None:
    server = serve_held()
    agent = run_under_way(server)
    held.release()
    agent.result(1)
    with locked(server.state / "ringfence.db"):
        until(lambda: "taking tests waits for the database" in server.log())
        refused = agent.call("test")
        assert refused.status_code == 429
        assert refused.json()["code"] in ("database_unavailable", "cannot_run_now")
    until(lambda: "taking tests goes on" in server.log())
    comes_through(server, agent)


def test_a_test_that_cannot_be_read_is_given_up_alone(serve: Serve, in_database: Callable[..., list[Any]]) -> None:
    server = serve("--runner", "fake", "--slots", "1")
    broken = server.open("llm-pretrain-loss")
    first = broken.opened["files"][0]["editable"][0][0]
    wish = {"start_line": first, "end_line": first, "content": "# fake: seconds=30\ndef compute_loss(logits, targets):"}
    assert broken.call("edit", wish).status_code == 200
    assert broken.call("test").status_code == 202
    until(lambda: broken.get("/tests/1").json()["status"] == "running")
    server.kill()
    database = server.state / "ringfence.db"
    in_database(database, "UPDATE task_versions SET definition = '{' WHERE task_id = 'llm-pretrain-loss'")
    server.start()
    for answer in (broken.get(), broken.call("view"), broken.get("/tests/1"), broken.get("/trajectory")):
        assert (answer.status_code, answer.json()["code"]) == (409, "session_unreadable")
    agent = server.open(TASK)
    assert agent.call("test").status_code == 202
    assert agent.result(1, 60)["status"] == "succeeded"
    ended = in_database(database, "SELECT status, refunded, observation FROM tests WHERE session_id = ?", broken.id)
    assert [row[:2] for row in ended] == [("infra_failed", 1)]
    assert ended[0][2].startswith("[Test #1] [INFRASTRUCTURE FAILURE")
    assert f"test {broken.id}-1 cannot be handled: it is given up" in server.log()
    with server.client() as client:
        assert client.get("/readyz").json()["ok"] is True


def test_a_session_is_read_again_after_a_commit_that_failed(
    serve: Serve, in_database: Callable[..., list[Any]]
) -> None:
    """As when a connection breaks off during a commit: the step is there, and the service was told that it failed."""
    server = serve("--runner", "fake")
    agent = server.open()
    assert agent.call("view").status_code == 200
    columns = "tool, input, ok, code, observation, at, test, editables, undone"
    copied = f"SELECT session_id, seq + 1, {columns} FROM steps WHERE session_id = ?"
    database = server.state / "ringfence.db"
    in_database(database, f"INSERT INTO steps (session_id, seq, {columns}) {copied}", agent.id)
    assert agent.call("view").status_code != 200
    assert agent.call("edit", {"start_line": 246, "end_line": 246, "content": "    # a"}).json()["revision"] == 1
    assert [step["step"] for step in agent.get("/trajectory").json()["steps"]] == [1, 2, 3]
