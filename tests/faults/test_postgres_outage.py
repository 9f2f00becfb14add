"""A PostgreSQL server that goes away or cuts its connections, for as long as it likes."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine

from env.store.engine import open_database
from env.store.outage import OUTAGES
from env.store.snapshots import Snapshots
from env.store.store import Store
from tests.support.processes import run_to_end
from tests.support.service import COMMAND
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.faults.conftest import HeldTask
    from tests.support.postgres import Postgres
    from tests.support.service import Agent, Server

AWAY_S = 5.0


def ready(server: Server) -> bool:
    with server.client() as client:
        return client.get("/readyz").is_success


def test_a_test_that_ends_while_the_server_is_away_is_kept(
    postgres: Postgres,
    serve_held: Callable[..., Server],
    held: HeldTask,
    run_under_way: Callable[[Server], Agent],
    comes_through: Callable[[Server, Agent], None],
) -> None:
    server = serve_held("--db", postgres.create())
    agent = run_under_way(server)
    postgres.kill()
    held.release()
    away = time.monotonic()
    until(lambda: "is held until the database takes it" in server.log())
    refused = agent.call("test")
    assert refused.status_code == 429
    assert refused.json()["ok"] is False
    with server.client() as client:
        assert client.get("/readyz").status_code == 503
        assert client.get("/healthz").is_success
    time.sleep(max(0.0, AWAY_S - (time.monotonic() - away)))
    postgres.start()
    until(lambda: ready(server))
    comes_through(server, agent)
    assert "Traceback" not in server.log()


def test_a_frozen_server_holds_no_call_up_for_long(
    postgres: Postgres,
    serve_held: Callable[..., Server],
    held: HeldTask,
    run_under_way: Callable[[Server], Agent],
    comes_through: Callable[[Server, Agent], None],
) -> None:
    server = serve_held("--db", postgres.create())
    agent = run_under_way(server)
    with postgres.frozen(), server.client() as client:
        held.release()
        first = time.monotonic()
        assert agent.call("edit", {"start_line": 2, "end_line": 2, "content": "A = 2"}).status_code == 429
        assert time.monotonic() - first < 9
        for ask, status in ((lambda: agent.call("view"), 429), (lambda: client.get("/healthz"), 200)):
            began = time.monotonic()
            answer = ask()
            assert answer.status_code == status, answer.text
            assert time.monotonic() - began < 1
        assert client.get("/v1/leaderboards/held").status_code == 429
        assert client.get("/readyz").status_code == 503
    until(lambda: ready(server))
    comes_through(server, agent)
    assert "Traceback" not in server.log()


def test_a_row_that_somebody_else_has_locked_holds_no_call_up(
    postgres: Postgres, serve_held: Callable[..., Server]
) -> None:
    import psycopg

    url = postgres.create()
    server = serve_held("--db", url)
    agent = server.open("held")
    with psycopg.connect(url.replace("+psycopg", "")) as other:
        other.execute("LOCK TABLE steps")
        began = time.monotonic()
        assert agent.call("view").json()["code"] == "database_unavailable"
        assert time.monotonic() - began < 3
    assert agent.call("view").status_code == 200
    assert agent.get().json()["steps"] == 1


def test_connections_that_are_cut_cost_nothing(
    postgres: Postgres,
    serve_held: Callable[..., Server],
    held: HeldTask,
    run_under_way: Callable[[Server], Agent],
    comes_through: Callable[[Server, Agent], None],
) -> None:
    url = postgres.create()
    server = serve_held("--db", url)
    agent = run_under_way(server)
    assert postgres.cut(url) >= 2  # the service's own, and the one that holds its lock
    held.release()

    def edits() -> bool:
        answer = agent.call("edit", {"start_line": 2, "end_line": 2, "content": "A = 2"})
        assert answer.status_code in (200, 429), answer.text
        return answer.status_code == 200

    until(edits, pause_s=0.1)
    until(lambda: ready(server))
    comes_through(server, agent)
    assert len(locks(postgres, url)) == 1
    assert agent.get().json()["revision"] == 1


def test_nothing_is_done_while_somebody_else_has_the_lock(
    postgres: Postgres, serve_held: Callable[..., Server]
) -> None:
    import psycopg

    url = postgres.create()
    server = serve_held("--db", url)
    agent = server.open("held")
    ((key_class, key),) = locks(postgres, url)
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as other:
        # In line for the lock, so that the service finds it taken.
        keys = [key_class, key, "postgres-test"]
        waiting = "SELECT set_config('application_name', %s, false)"
        other.execute(waiting, keys[2:])
        pid = other.info.backend_pid
        held_by = postgres.execute("SELECT pid FROM pg_locks WHERE locktype = 'advisory'", url=url)
        postgres.execute("SELECT pg_terminate_backend(%s)", held_by[0])
        other.execute("SELECT pg_advisory_lock(%s, %s)", keys[:2])
        assert postgres.execute("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted", url=url) == [(pid,)]
        until(lambda: "is in use by postgres-test" in server.log())
        assert agent.call("view").status_code == 429
        assert not ready(server)
    until(lambda: ready(server))
    assert agent.call("view").status_code == 200


def test_a_second_service_is_told_who_has_the_database(
    postgres: Postgres, serve_held: Callable[..., Server], tmp_path: Path
) -> None:
    url = postgres.create()
    server = serve_held("--db", url)
    second = [*COMMAND, "serve", "--runner", "fake", "--port", "0", "--state", str(tmp_path / "second"), "--db", url]
    refused = run_to_end(second)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    told = f"ringfence {socket.gethostname()} pid {server.pid} {server.url}"
    assert f" is in use by {told[:63]}" in refused.stderr  # PostgreSQL keeps no more of a name
    assert ", connected from 127.0.0.1, since " in refused.stderr
    server.kill()
    until(lambda: locks(postgres, url) == [])
    server.start()


def locks(postgres: Postgres, url: str) -> list[Any]:
    """The two halves of the keys of the advisory locks in a database."""
    return postgres.execute(
        "SELECT classid::bigint, objid::bigint FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
        "WHERE locktype = 'advisory' AND granted AND datname = current_database()",
        url=url,
    )


def test_a_lock_of_somebody_else_is_not_waited_for_long(postgres: Postgres) -> None:
    url = postgres.create()
    engine = open_database(url)
    store, snapshots, stranger = Store(engine), Snapshots(engine), create_engine(url)
    with stranger.connect() as holding:
        holding.exec_driver_sql("LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE")
        for begin in (store.begin, store.read, snapshots.open):
            began = time.monotonic()
            with pytest.raises(OUTAGES), begin() as connection:
                store.totals(connection)
            assert time.monotonic() - began < 5
    with snapshots.open() as connection:
        assert store.totals(connection).sessions == 0
    engine.dispose()
    stranger.dispose()


def test_a_statement_that_takes_too_long_is_broken_off(postgres: Postgres) -> None:
    engine = open_database(postgres.create())
    with pytest.raises(OUTAGES), engine.begin() as connection:
        connection.exec_driver_sql("SELECT pg_sleep(60)")
    engine.dispose()
