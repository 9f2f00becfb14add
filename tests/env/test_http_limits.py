"""What one caller can keep the service busy with: requests a second, their size, and the time they take to arrive."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from env.http import connections
from env.http.connections import MAX_HEAD_BYTES, BoundedConnection
from env.http.rates import BURST_S, MAX_CALLERS, Buckets
from tests.support.service import Serve, Server


def test_a_token_that_calls_too_often_is_told_when_to_come_back(serve: Serve) -> None:
    server = serve("--runner", "fake", "--session-rate", "0.5")
    busy, other = server.open(), server.open()
    answers = [busy.call("view") for _ in range(7)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2  # ten seconds' worth
    refused = answers[-1].json()
    assert (refused["ok"], refused["code"]) == (False, "too_many_requests")
    assert refused["observation"].startswith("ERROR: More than 0.5 requests with one token a second")
    assert int(answers[-1].headers["retry-after"]) > 0
    assert other.call("view").status_code == 200
    with server.client() as client:
        assert client.get("/healthz").status_code == 200
    assert busy.opened["token"] not in server.log()


def test_an_address_that_calls_too_often_is_refused_whatever_it_says_it_is(serve: Serve) -> None:
    server = serve("--runner", "fake", "--address-rate", "0.5")
    with server.client() as client:
        seen = [client.get("/v1/tasks", headers={"Authorization": f"Bearer {n}"}).status_code for n in range(8)]
        assert seen == [200] * 5 + [429] * 3
        assert [client.get(path).status_code for path in ("/healthz", "/readyz", "/metrics")] == [200] * 3


def test_what_is_left_comes_back_with_time_and_callers_are_forgotten() -> None:
    buckets = Buckets(2.0)
    burst = int(2 * BURST_S)
    assert [buckets.take("a", 0.0) for _ in range(burst + 1)] == [True] * burst + [False]
    assert not buckets.take("a", 0.4)
    assert buckets.take("a", 0.5)
    assert not buckets.take("a", 0.5)
    assert [buckets.take("a", 1000.0) for _ in range(burst + 1)] == [True] * burst + [False]
    for number in range(MAX_CALLERS):
        buckets.take(str(number), 1000.0)
    assert buckets.take("a", 1000.0)  # forgotten, so it is as one that was quiet


def test_a_head_without_end_is_cut_off(shared: Server) -> None:
    place = urlsplit(shared.url)
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=20) as caller:
        caller.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        answered = b""
        with contextlib.suppress(OSError):  # cut off, wherever that meets us
            for number in range(4 * MAX_HEAD_BYTES // 1000):
                caller.sendall(f"X-{number}: {'x' * 990}\r\n".encode())
            caller.sendall(b"\r\n")
            answered = caller.recv(1000)
        assert answered == b""
    with shared.client() as client:
        assert client.get("/healthz", headers={"X-Long": "x" * (MAX_HEAD_BYTES // 2)}).status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"POST / HTTP/1.1\r\nHost: x\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost:",
    ],
    ids=["nothing", "half a head", "half a body", "half a second request"],
)
def test_a_request_that_does_not_arrive_is_given_up(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(connections, "REQUEST_S", 0.3)

    async def caller() -> None:
        async with _served() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            async with asyncio.timeout(20):
                seen = await reader.read()
            assert seen.count(b"HTTP/1.1 200") == sent.count(b"\r\n\r\nGET")
            writer.close()

    asyncio.run(caller())


def test_an_answer_may_take_longer_than_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REQUEST_S", 0.2)

    async def caller() -> None:
        async with _served() as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            for _ in range(2):
                answer = await client.post("/slow", content=b"x")
                assert answer.text == "done"

    asyncio.run(caller())


@asynccontextmanager
async def _served() -> AsyncIterator[int]:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        if scope["path"] == "/slow":
            await asyncio.sleep(0.6)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"done"})

    config = uvicorn.Config(app, port=0, http=BoundedConnection, lifespan="off", log_config=None, timeout_keep_alive=20)
    server = uvicorn.Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        async with asyncio.timeout(20):
            await serving
