"""One database has one owner, whatever state folder a process was started on."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.processes import run_to_end
from tests.support.service import COMMAND

if TYPE_CHECKING:
    from tests.faults.conftest import HeldTask
    from tests.support.service import Agent, Server

BASELINE = ("baseline", "run", "llm-pretrain-loss", "--baseline", "template")


@pytest.mark.parametrize("command", [("serve", "--port", "0"), BASELINE], ids=["serve", "baseline"])
def test_whoever_comes_second_is_told_who_has_the_database(
    serve_held: Callable[..., Server],
    held: HeldTask,
    run_under_way: Callable[[Server], Agent],
    comes_through: Callable[[Server, Agent], None],
    tmp_path: Path,
    command: tuple[str, ...],
) -> None:
    server = serve_held()
    agent = run_under_way(server)
    link = tmp_path / "link.db"
    link.symlink_to(server.state / "ringfence.db")
    where = ("--runner", "fake", "--state", str(tmp_path / "second"), "--db", f"sqlite:///{link}")
    refused = run_to_end([*COMMAND, *command, *where])
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    database = (server.state / "ringfence.db").resolve()
    who = f"process {server.pid} on {socket.gethostname()}, since "
    assert f"the database {database} is in use by {who}" in refused.stderr
    assert f", serving at {server.url}" in refused.stderr
    held.release()
    comes_through(server, agent)


def test_a_killed_owner_leaves_no_lock(serve_held: Callable[..., Server]) -> None:
    server = serve_held()
    server.kill()
    server.start()
    assert server.open("held").call("view").status_code == 200


def test_baseline_leaves_the_tests_of_others_alone(
    serve_held: Callable[..., Server],
    held: HeldTask,
    run_under_way: Callable[[Server], Agent],
    comes_through: Callable[[Server, Agent], None],
    in_database: Callable[..., list[Any]],
    tmp_path: Path,
) -> None:
    server = serve_held()
    agent = run_under_way(server)
    server.kill()
    database = server.state / "ringfence.db"
    where = ("--runner", "fake", "--state", str(tmp_path / "second"), "--db", f"sqlite:///{database}")
    ran = run_to_end([*COMMAND, *BASELINE, *where])
    assert ran.returncode == 0, ran.stderr
    states = in_database(
        database, "SELECT agent, status FROM tests JOIN sessions ON sessions.id = session_id ORDER BY agent"
    )
    assert states == [("baseline:template", "succeeded"), ("tester", "running")]
    held.release()
    server.start()
    comes_through(server, agent)
