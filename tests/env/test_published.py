"""Published figures on a running service: a page, a list of their own, and never a row."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.support.service import TASK, Server

MARK = "published, other data, self-reported"


@pytest.fixture(scope="module")
def client(shared: Server) -> Iterator[httpx.Client]:
    agent = shared.open(agent="ann", scale="gpt-345m")
    agent.post("/test?wait=60")
    agent.call("submit", {"n": 1})
    with shared.client() as client:
        yield client


def test_they_have_a_page_that_the_home_page_names(client: httpx.Client) -> None:
    assert '<a href="/published">' in client.get("/").text
    page = client.get("/published").text
    assert "MLS-Bench" in page
    assert page.count(f'<span class="tag">{MARK}</span>') == 18
    for figure in ("2.2950", "2.2592", "2.1733"):
        assert figure in page
    assert f'href="/tasks/{TASK}?scale=gpt-345m"' in page


def test_json_has_them_in_a_list_of_their_own(client: httpx.Client) -> None:
    told = client.get("/v1/published").json()
    assert (told["source"]["data"], told["source"]["seed"], len(told["figures"])) == ("ClimbMix", 42, 18)
    assert {figure["mark"] for figure in told["figures"]} == {MARK}
    board = client.get(f"/v1/leaderboards/{TASK}", params={"scale": "gpt-345m", "final": "false"}).json()
    assert [figure["val_loss"] for figure in board["published"]] == [2.2950, 2.2592]
    assert all(row["agent"] != "rmsnorm" for row in board["rows"])
    assert board["total"] == len(board["rows"])
    assert client.get(f"/v1/leaderboards/{TASK}", params={"scale": "smoke"}).json()["published"] == []


def test_the_tasks_page_shows_them_below_the_board_and_the_home_page_has_none(client: httpx.Client) -> None:
    page = client.get(f"/tasks/{TASK}?scale=gpt-345m").text
    board, beside = page.index('<table class="board">'), page.index('<table class="board published">')
    assert board < beside < page.index('id="curves"')
    assert MARK in page[beside:]
    assert "2.2950" in page[beside:]
    assert "2.2950" not in page[board:beside]
    assert MARK not in client.get(f"/tasks/{TASK}?scale=smoke").text
    assert "2.2950" not in client.get("/").text
    assert "2.2950" not in client.get(f"/v1/leaderboards/{TASK}.csv?scale=gpt-345m").text
