"""The process of long reads: it ends with the service, and the service outlives it."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.bench.filling import fill
from tests.support.service import TASK, Serve, Server
from tests.support.waiting import threads, until

CSV = f"/v1/leaderboards/{TASK}.csv?final=false"
DATABASE = "filled.db"
ROWS = 20_000
"""Some megabytes as CSV: more than the system holds for one who does not read."""


def readers(server: Server) -> list[psutil.Process]:
    children = psutil.Process(server.pid).children()
    return [child for child in children if "env.service.reader" in child.cmdline()]


def reader(server: Server) -> psutil.Process:
    until(lambda: len(readers(server)) == 1)
    return readers(server)[0]


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def filled(serve: Serve, tmp_path: Path) -> Server:
    """On SQLite, whatever the other tests are on."""
    server = serve("--runner", "fake", "--db", f"sqlite:///{tmp_path / DATABASE}")
    server.stop()
    fill(tmp_path / DATABASE, sessions=20, rows=ROWS, steps=100)
    return server.start()


def unread_download(server: Server) -> socket.socket:
    """A download that has begun, and of which the caller reads no more."""
    caller = socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0))
    caller.settimeout(60)
    caller.sendall(f"GET {CSV} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert caller.recv(1 << 10).startswith(b"HTTP/1.1 200")
    return caller


def holds_snapshots(process: psutil.Process) -> bool:
    return any(file.path.endswith(DATABASE) for file in process.open_files())


def test_it_ends_with_the_service_however_that_ends(filled: Server) -> None:
    for end in (filled.kill, filled.stop):
        reading = reader(filled)
        with unread_download(filled):
            assert holds_snapshots(reading)
            end()
            until(lambda reading=reading: gone(reading), 20)
        filled.start()


def test_a_call_under_way_is_refused_when_it_dies_and_the_next_is_answered(filled: Server) -> None:
    first = reader(filled)
    with filled.client() as client, filled.client() as caller, threads(1) as pool:
        assert client.get(f"/v1/leaderboards/{TASK}").status_code == 200
        first.suspend()
        asked = pool.submit(caller.get, f"/v1/leaderboards/{TASK}", timeout=60)
        until(lambda: client.get("/healthz").is_success)
        first.kill()
        answer = asked.result(60)
        assert (answer.status_code, answer.json()["code"]) == (429, "database_unavailable")
        until(lambda: client.get(f"/v1/leaderboards/{TASK}").status_code == 200)
        assert reader(filled).pid != first.pid
        assert client.get("/readyz").is_success
    assert "Traceback" not in filled.log()


def test_a_download_that_nobody_takes_gives_its_snapshot_back(filled: Server) -> None:
    reading = reader(filled)
    with unread_download(filled):
        assert holds_snapshots(reading)
        with filled.client() as client:
            assert client.get(CSV).text.count("\r\n") > ROWS
        assert holds_snapshots(reading)
    until(lambda: not holds_snapshots(reading), 90)


def test_a_database_in_memory_does_without(serve: Serve) -> None:
    server = serve("--runner", "fake", "--db", "sqlite://")
    with server.client() as client:
        assert client.get("/v1/leaderboards").json() == {"leaderboards": []}
        assert client.get("/").is_success
    assert not readers(server)
