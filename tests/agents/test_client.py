"""The Python client against real services: what it gives back, and that a restart goes unnoticed."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import httpx
import pydantic
import pytest

from ringfence.client import AsyncClient, Client, Point, RefusedError, ServiceError, TestTicket, TestView
from ringfence.client.transport import Transport
from tests.support.service import TASK, Serve, Server
from tests.support.waiting import threads

FILE = "nanoGPT/custom_pretrain.py"
KEY = "operator-key-0123456789"


@pytest.fixture
def client(shared: Server) -> Iterator[Client]:
    with Client(shared.url) as one:
        yield one


@pytest.fixture
def fixed_port() -> str:
    """A free port, to be started on twice."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def test_an_agent_edits_checks_tests_and_submits(client: Client) -> None:
    seen: list[TestView] = []
    with client.open(TASK, "python client") as session:
        assert "    22: class LayerNorm(nn.Module):" in session.prompt
        assert session.str_replace("1e-5)", "1e-6)").observation.startswith("OK: Replaced")
        assert session.check().check.passed
        result = session.test(on_progress=seen.append)
        assert result.status == "succeeded"
        assert "Final metrics (gpt-smoke): val_loss_gpt-smoke=" in str(result.observation)
        assert session.submit(1).submission.n == 1
        [row] = [row for row in client.leaderboard(TASK).rows if row.agent == "python client"]
        assert row.model_extra is not None
        assert row.model_extra["val_loss_gpt-smoke"] == pytest.approx(result.metrics["val_loss_gpt-smoke"])
        assert client.result(session.id, 1).metrics["val_loss_gpt-smoke"] == row.model_extra["val_loss_gpt-smoke"]
        assert [step.tool for step in session.trajectory().steps] == ["edit", "check", "test", "submit"]
    steps = [view.progress.step for view in seen]
    assert steps == sorted(steps)
    assert steps[-1] == 200


def test_every_edit_has_a_method_of_its_own(client: Client) -> None:
    with client.open(TASK, "x", scale="smoke", metadata={"run": 1}) as session:
        assert session.replace(246, 246, "    # one\n    # two\n").editable[-1] == (245, 248)
        assert session.insert(246, "    # and a half\n", filename=FILE).total_lines == 439
        assert session.str_replace("# two", "# 2").revision == 3
        assert session.undo(2).total_lines == 438
        assert "   246      # one" in session.view(245, 247).observation
        assert session.edit(start_line=246, end_line=247, content="").total_lines == 436
        state = session.state()
        assert (state.metadata, state.revision, state.submission) == ({"run": 1}, 5, None)


def test_answers_are_values(client: Client) -> None:
    with client.open(TASK, "x") as session:
        edited = session.replace(246, 246, "    pass")
        with pytest.raises(pydantic.ValidationError):
            edited.revision = 7
        assert hash(edited) == hash(edited.model_copy())


def test_a_refusal_carries_its_code_and_what_is_allowed(client: Client) -> None:
    with client.open(TASK, "x") as session:
        with pytest.raises(RefusedError) as refused:
            session.replace(1, 15, "import os\n")
        assert refused.value.code == "outside_editable"
        assert refused.value.status == 422
        assert str(refused.value) == refused.value.observation
        assert "You may only edit lines 22–31, 88–100, 245–247." in refused.value.observation
        with pytest.raises(RefusedError, match="content"):
            session.replace(246, 246, "\ud800")
        with pytest.raises(RefusedError, match="is not an argument of this call"):
            session.edit(line=3)
        with pytest.raises(RefusedError, match="No test results yet"):
            session.submit(1)
    with pytest.raises(RefusedError, match="a/b"):
        client.task("a/b?c")


def test_tasks_and_leaderboards_can_be_read(client: Client) -> None:
    assert TASK in [task.id for task in client.tasks()]
    assert client.task(TASK).editable == ((22, 31), (88, 100), (245, 247))
    with client.open(TASK, "reader") as session:
        session.test()
        session.submit(1)
    assert TASK in [board.task_id for board in client.leaderboards()]
    [row] = client.leaderboard(TASK, agent="reader", final=True).rows
    assert (row.status, row.is_final, row.test) == ("succeeded", True, 1)


def test_events_are_typed(client: Client) -> None:
    with client.open(TASK, "x") as session:
        session.test(wait=False)
        events = list(session.events(1))
        assert isinstance(events[0], TestTicket)
        assert [event.step for event in events if isinstance(event, Point)] == list(range(10, 201, 10))
        assert events[-1] == session.read_test(1)


def test_a_test_can_be_cancelled_twice(client: Client) -> None:
    with client.open(TASK, "x") as session:
        session.replace(246, 246, "    # fake: seconds=60\n")
        assert session.test(wait=False).status in ("queued", "running")
        assert {session.cancel(1).status for _ in range(2)} == {"cancelled"}


def test_an_operators_key_opens_sessions(serve: Serve) -> None:
    service = serve("--runner", "fake", "--key", KEY)
    with Client(service.url) as stranger, pytest.raises(RefusedError) as refused:
        stranger.open(TASK, "x")
    assert refused.value.code == "operator_key_required"
    with Client(service.url, KEY) as operator, operator.open(TASK, "x") as session:
        assert session.view().ok


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_service_killed_in_the_middle_goes_unnoticed(
    serve: Serve, local_arguments: tuple[str, ...], fixed_port: str
) -> None:
    """While edits are made, while a check runs, and while the events of a test are read."""
    service = serve(*local_arguments, "--port", fixed_port)

    def restart(after_s: float = 0.0) -> None:
        time.sleep(after_s)
        service.kill()
        time.sleep(0.5)
        service.start()

    with Client(service.url) as client, client.open("quick", "x") as session:
        with threads(1) as pool:
            down = pool.submit(restart)
            for n in range(30):
                session.replace(246, 246, f"    # {n}")
            down.result(60)
            down = pool.submit(restart, after_s=1.0)
            assert session.check().check.passed
            down.result(60)
        session.test(wait=False)
        events = []
        for event in session.events(1):
            events.append(event)
            if isinstance(event, Point) and event.step == 10:
                restart()
        assert session.result(1) == events[-1]
        assert session.result(1).status == "succeeded"
        assert [event.step for event in events if isinstance(event, Point)] == [0, 10, 20, 30]
        session.submit(1)
        tools = [step.tool for step in session.trajectory().steps]
        assert tools == ["edit"] * 30 + ["check", "test", "submit"]


def test_a_service_that_is_not_there_is_reported(fixed_port: str) -> None:
    with (
        Client(f"http://127.0.0.1:{fixed_port}", patience_s=0.2) as client,
        pytest.raises(ServiceError, match="could not be reached"),
    ):
        client.tasks()
    with Client("localhost:8080") as client, pytest.raises(ServiceError, match="not the URL of a service"):
        client.tasks()


def test_another_kind_of_server_is_reported(shared: Server) -> None:
    with Client(f"{shared.url}/docs#") as client, pytest.raises((ServiceError, RefusedError)):
        client.tasks()


class Moody(BaseHTTPRequestHandler):
    """Answers what its list says, one after another."""

    answers: ClassVar[list[tuple[int, str]]]
    keys: ClassVar[list[str | None]]

    def do_GET(self) -> None:
        status, body = self.answers.pop(0)
        self.keys.append(self.headers.get("Idempotency-Key"))
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def moody() -> Iterator[str]:
    """The URL of a server that gives the answers in `Moody.answers`."""
    Moody.keys = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Moody) as server, threads(1) as pool:
        running = pool.submit(server.serve_forever, 0.05)
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            running.result(10)


LATER = '{"ok": false, "code": "database_unavailable", "observation": "ERROR: later."}'


@pytest.mark.parametrize(
    "passing", [(500, "Internal Server Error"), (502, "<html>"), (503, "{}"), (504, ""), (429, LATER)]
)
def test_what_passes_is_waited_for_under_one_key(moody: str, passing: tuple[int, str]) -> None:
    Moody.answers = [passing, passing, (200, '{"ok": true}')]
    transport = Transport(moody, None, patience_s=20)
    assert transport.post("/v1/x", {}) == {"ok": True}
    assert len(Moody.keys) == 3
    assert len(set(Moody.keys)) == 1
    transport.close()


def test_a_stream_that_a_proxy_cannot_give_is_broken_off_like_one_that_ended(moody: str) -> None:
    Moody.answers = [(502, "<html>"), (200, "data: 1\n")]
    transport = Transport(moody, None, patience_s=20)
    with pytest.raises(httpx.TransportError, match="502"), transport.lines("/x"):
        pass
    with transport.lines("/x") as lines:
        assert list(lines) == ["data: 1"]
    transport.close()


def test_this_host_is_asked_without_a_proxy(moody: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "[::1]:x,//")
    Moody.answers = [(200, '{"ok": true}')]
    transport = Transport(moody, None, patience_s=5)
    assert transport.get("/v1/x") == {"ok": True}
    transport.close()


def test_a_proxy_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "nonsense://127.0.0.1:1")
    with pytest.raises(ServiceError, match="by the proxies in the environment"):
        Client("http://elsewhere.example")


def test_a_service_that_does_not_answer_is_told_of_while_it_is_waited_for(
    fixed_port: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Client(f"http://127.0.0.1:{fixed_port}", patience_s=4) as client, pytest.raises(ServiceError):
        client.tasks()
    (said,) = caplog.messages
    assert re.search(r"has not answered for \d s \(.+\); trying for another \d s", said)


def test_a_session_is_resumed_with_its_id_and_token(client: Client) -> None:
    with client.open(TASK, "first", metadata={"run": 1}) as session:
        session.str_replace("1e-5)", "1e-6)")
    with client.resume(session.id, session.token) as again:
        assert again.opened == session.opened
        assert again.state().revision == 1
        again.test()
        assert again.submit(1).submission.n == 1
    with pytest.raises(RefusedError) as refused:
        client.resume(session.id, "rf_wrong")
    assert refused.value.code == "wrong_token"
    with pytest.raises(RefusedError, match="no session"):
        client.resume("nowhere", session.token)


def test_many_sessions_are_played_at_once_by_one_thread(shared: Server) -> None:
    async def play(client: AsyncClient, number: int) -> str:
        async with await client.open(TASK, f"async {number}", scale="smoke") as session:
            await session.edit(op="str_replace", old_str="1e-5)", new_str=f"1e-{number + 10})")
            assert (await session.check()).check.passed
            tested = await session.test()
            async with await client.resume(session.opened.session_id, session.opened.token) as again:
                assert (await again.state()).revision == 1
                await again.submit(tested.n)
            return (await client.result(session.opened.session_id, tested.n)).status

    async def all_of_them() -> list[str]:
        async with AsyncClient(shared.url) as client:
            with pytest.raises(RefusedError, match="no task"):
                await client.open("nothing", "x")
            return await asyncio.gather(*(play(client, number) for number in range(8)))

    assert asyncio.run(all_of_them()) == ["succeeded"] * 8
