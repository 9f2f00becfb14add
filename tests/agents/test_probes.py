"""Probes by the ways in that are no plain HTTP: the client, MCP and Inspect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from inspect_ai.tool import ToolDef
from mcp import Client as McpClient

from ringfence.client import Client, RefusedError, TestView
from ringfence.inspect.tools import tools_of
from tests.agents.test_inspect import evaluated
from tests.agents.test_mcp import connected, over, told
from tests.support.service import TASK, Serve, Server
from tests.support.tasks import write_proxied_task


@pytest.fixture(scope="module")
def proxied(serve_shared: Serve, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A service with the task `proxied`, which invents results."""
    folder = write_proxied_task(tmp_path_factory.mktemp("tasks") / "proxied")
    return serve_shared("--runner", "fake", "--slots", "2", "--tasks", str(folder))


def test_the_client_probes(proxied: Server) -> None:
    seen: list[TestView] = []
    with Client(proxied.url) as client, client.open("proxied", "client") as session:
        result = session.probe(on_progress=seen.append)
        assert (result.kind, result.n, result.scale, result.status) == ("probe", 1, "tiny", "succeeded")
        assert str(result.observation).startswith("[Probe #1] (5 probes remaining; ")
        assert seen[-1].progress.step == 15
        assert session.read_probe(1) == list(session.probe_events(1))[-1] == result
        assert (session.state().budget.probes_remaining, session.state().probes[0].n) == (5, 1)
        assert session.call("probe").observation.startswith("[Probe #2] queued (4 probes remaining)")
        assert session.cancel_probe(2).status == session.cancel_probe(2).status
        assert session.test().kind == "test"
        assert client.probes("proxied").predictions == ()
        assert client.task("proxied").scale_details["smoke"].probe == "tiny"


def test_the_client_is_refused_where_there_is_no_proxy(proxied: Server) -> None:
    with Client(proxied.url) as client, client.open(TASK, "client") as session:
        assert session.opened.budget.probes is None
        with pytest.raises(RefusedError) as refused:
            session.probe()
        assert (refused.value.code, session.state().probes) == ("no_proxy", ())


def test_an_mcp_client_probes_then_tests(proxied: Server) -> None:
    async def play(client: McpClient) -> list[Any]:
        opened = await told(client, "open_session", task="proxied", agent="mcp")
        token = opened["token"]
        assert opened["budget"]["probes_remaining"] == 6
        queued = await told(client, "probe", token=token)
        assert queued["observation"] == (
            "[Probe #1] queued (5 probes remaining). Its result: test_status(), until the status is final."
        )
        probe = await over(client, token)
        await told(client, "test", token=token)
        test = await over(client, token)
        plain = await told(client, "open_session", task=TASK, agent="mcp")
        return [probe, test, await told(client, "probe", token=plain["token"])]

    probe, test, refused = connected(proxied.url, play)
    assert (probe["test"]["kind"], probe["test"]["n"]) == ("probe", 1)
    assert probe["observation"].startswith("[Probe #1] (5 probes remaining; probes guide you, they are never ranked)")
    assert (test["test"]["n"], "kind" in test["test"]) == (1, False)
    assert (refused["ok"], refused["code"]) == (False, "no_proxy")


def test_inspect_offers_probes_where_there_is_a_proxy(proxied: Server, tmp_path: Path) -> None:
    calls = [["probe", {}], ["test", {}], ["submit", {"n": 1}]]
    [sample] = evaluated(proxied.url, tmp_path, "proxied", calls)
    said = [text for role, text in sample["messages"] if role == "tool"]
    assert said[0].startswith("[Probe #1] (5 probes remaining; ")
    assert said[1].startswith("[Test #1] ")
    with Client(proxied.url) as client, client.open(TASK, "x") as plain, client.open("proxied", "x") as session:
        names = [[ToolDef(tool).name for tool in tools_of(each)] for each in (plain, session)]
    assert names == [
        ["edit", "view", "undo", "check", "test", "submit"],
        ["edit", "view", "undo", "check", "probe", "test", "submit"],
    ]
