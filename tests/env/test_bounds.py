"""What one caller may ask of the service, how often and how slowly; others feel nothing of it."""

from __future__ import annotations

import socket
import sys
import time
from contextlib import ExitStack
from urllib.parse import urlsplit

import httpx
import pytest

from env.http.connection import MAX_HEAD_BYTES
from env.service.rates import MAX_CALLERS, Allowances
from tests.support.service import Serve, Server
from tests.support.waiting import until

IMPATIENT = """\
import env.http.connection, env.service.live
env.http.connection.HEAD_S = env.http.connection.BODY_S = env.http.connection.UNREAD_S = 1.0
env.service.live.MAX_LIVE_BYTES = 1
from env.cli.main import app
app()
"""
"""The service's command, with less patience for connections and hardly any memory for sessions."""
PATIENCE_S = 30


def impatient(serve: Serve) -> Server:
    return serve("--runner", "fake", command=(sys.executable, "-c", IMPATIENT))


def connected(server: Server) -> socket.socket:
    address = urlsplit(server.url)
    return socket.create_connection((address.hostname, address.port), timeout=PATIENCE_S)


def ask(server: Server, path: str, secret: str | None = None) -> httpx.Response:
    with server.client(secret) as client:
        return client.get(path)


def whole(connection: socket.socket) -> bytes:
    """All that comes until the service closes the connection."""
    pieces = []
    while piece := connection.recv(1 << 16):
        pieces.append(piece)
    return b"".join(pieces)


def test_an_address_may_have_so_many_connections_open_and_others_feel_nothing(serve: Serve) -> None:
    server = serve("--runner", "fake", "--address-connections", "3", "--limit-loopback")
    address = urlsplit(server.url)
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with ExitStack() as open_ones:
        for _ in range(3):
            connection = open_ones.enter_context(connected(server))
            connection.sendall(request)
            assert connection.recv(1 << 10).startswith(b"HTTP/1.1 200")
        with connected(server) as one_more:
            one_more.sendall(request)
            refused = whole(one_more)
        with socket.create_connection((address.hostname, address.port), PATIENCE_S, ("127.0.0.2", 0)) as other:
            other.sendall(request)
            assert other.recv(1 << 10).startswith(b"HTTP/1.1 200")
    assert refused.startswith(b"HTTP/1.1 429")
    assert b"retry-after" in refused
    assert b'"too_many_connections"' in refused
    until(lambda: ask(server, "/healthz").status_code == 200)


def test_an_allowance_fills_up_again_with_time() -> None:
    now = 0.0
    allowances = Allowances(2.0, lambda: now)
    assert [allowances.take("a") for _ in range(20)] == [0.0] * 20
    assert allowances.take("a") == 0.5
    assert allowances.take("b") == 0.0
    now = 0.5
    assert allowances.take("a") == 0.0
    assert allowances.take("a") == 0.5
    now = 1000.0
    assert [allowances.take("a") for _ in range(21)] == [0.0] * 20 + [0.5]


def test_a_rate_below_one_allows_one_call_at_a_time() -> None:
    now = 0.0
    allowances = Allowances(0.01, lambda: now)
    assert [allowances.take("a"), allowances.take("a")] == [0.0, 100.0]


def test_no_rate_is_no_limit() -> None:
    allowances = Allowances(0.0, lambda: 0.0)
    assert not any(allowances.take("a") for _ in range(10_000))


def test_so_many_callers_are_remembered() -> None:
    allowances = Allowances(0.1, lambda: 0.0)
    assert allowances.take("first") == 0.0
    assert allowances.take("first") > 0
    for number in range(MAX_CALLERS):
        allowances.take(str(number))
    assert allowances.take("first") == 0.0


def test_who_calls_too_often_is_told_when_to_come_back(serve: Serve) -> None:
    server = serve("--runner", "fake", "--limit-loopback", "--session-rate", "0.05")
    hasty, other = server.open(), server.open()  # without a secret: only their address is counted
    told = [hasty.call("view") for _ in range(2)]
    assert [answer.status_code for answer in told] == [200, 429]
    assert told[-1].json()["code"] == "too_many_calls"
    assert told[-1].json()["observation"].startswith("ERROR: ")
    assert 1 <= int(told[-1].headers["Retry-After"]) <= 20
    assert other.call("view").status_code == 200


def test_an_address_has_an_allowance_too_and_operators_and_monitors_need_none(serve: Serve) -> None:
    server = serve("--runner", "fake", "--limit-loopback", "--address-rate", "0.01", "--key", "k")
    assert ask(server, "/v1/tasks").status_code == 200
    refused = ask(server, "/v1/tasks")
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_calls")
    for _ in range(3):
        assert ask(server, "/v1/tasks", "k").status_code == 200
        assert ask(server, "/healthz").status_code == 200


def test_calls_from_this_host_are_not_counted_unless_asked_for(serve: Serve) -> None:
    server = serve("--runner", "fake", "--session-rate", "0.1", "--address-rate", "0.1")
    agent = server.open()
    assert {agent.call("view").status_code for _ in range(5)} == {200}


@pytest.mark.parametrize("end", [b"\r\n\r\n", b""], ids=["whole", "never ending"])
def test_headers_may_not_be_too_long(serve: Serve, end: bytes) -> None:
    server = serve("--runner", "fake")
    with connected(server) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
        time.sleep(0.5)
        connection.sendall(b"X-Long: " + b"x" * MAX_HEAD_BYTES + end)
        # What comes in the first piece is not counted until it ends: where all came in one, its time runs out.
        assert whole(connection).startswith((b"HTTP/1.1 431 ", *([] if end else [b"HTTP/1.1 408 "])))


@pytest.mark.parametrize(
    "begun",
    [
        b"GET /healthz HTTP/1.1\r\nHost: local",
        b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90\r\n\r\n{",
    ],
    ids=["in the headers", "in the body"],
)
def test_who_takes_too_long_to_ask_is_given_up(serve: Serve, begun: bytes) -> None:
    server = impatient(serve)
    with connected(server) as connection:
        connection.sendall(begun)
        began = time.monotonic()
        answer = whole(connection)
        assert time.monotonic() - began < PATIENCE_S
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"too_slow"' in answer
    assert ask(server, "/healthz").status_code == 200


def test_a_connection_on_which_nobody_asks_is_closed(serve: Serve) -> None:
    with connected(impatient(serve)) as connection:
        assert whole(connection) == b""


def test_an_answer_that_nobody_reads_is_given_up(serve: Serve) -> None:
    server = impatient(serve)
    with connected(server) as connection:
        for _ in range(400):
            connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(5)
        try:
            answers = whole(connection)
        except ConnectionError:  # what was on its way may be lost with the connection
            answers = b""
        assert answers.count(b"HTTP/1.1 200") < 400


def test_a_session_that_was_forgotten_to_save_memory_goes_on_as_it_was(serve: Serve) -> None:
    server = impatient(serve)
    agents = [server.open(), server.open()]
    start = agents[0].opened["files"][0]["editable"][0][0]
    for number in range(6):
        for agent in agents:
            edit = {"op": "insert", "after_line": start, "content": f"        x = {number}"}
            assert agent.call("edit", edit).status_code == 200
    for agent in agents:
        assert agent.call("undo", {"n": 6}).json()["revision"] == 7
        assert agent.get().json()["files"] == agent.opened["files"]
