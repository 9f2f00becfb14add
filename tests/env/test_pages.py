"""The researchers' pages over HTTP: what they say, to whom, and that nothing an agent wrote becomes part of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from ringfence.api.results import CURVE_SOURCE
from tests.support.service import TASK, Serve, Server

HOSTILE = "</pre></main><script>alert(1)</script><img src=x onerror=alert(2)>"
KEY = "operator-key-0123456789"


@pytest.fixture(scope="module")
def played(shared: Server) -> dict[str, Any]:
    """Sessions: `ann` submitted, with hostile texts everywhere; `bob` is open and has tested."""
    ann = shared.open(agent="ann", metadata={HOSTILE: HOSTILE, "list": [1, {"a": HOSTILE}]})
    ann.call("edit", {"start_line": 1, "end_line": 1, "content": HOSTILE})
    ann.call("edit", {"start_line": 246, "end_line": 246, "content": "    # \u202eevil"})
    ann.call("edit", {"start_line": 246, "end_line": 246, "content": f"    # {HOSTILE} evil"})
    ann.post("/test?wait=30")
    ann.call("edit", {"op": "str_replace", "old_str": "evil", "new_str": "good"})
    ann.call("undo")
    ann.call("submit", {"n": 1})
    bob = shared.open(agent="bob")
    bob.call("edit", {"start_line": 246, "end_line": 246, "content": "    # bob's secret"})
    bob.post("/test?wait=30")
    return {"ann": ann, "bob": bob}


@pytest.fixture(scope="module")
def client(shared: Server, played: dict[str, Any]) -> Iterator[httpx.Client]:  # noqa: ARG001
    with shared.client() as client:
        yield client


def test_every_page_is_locked_down_and_names_no_other_host(client: httpx.Client, played: dict[str, Any]) -> None:
    for path in ("/", f"/tasks/{TASK}", f"/sessions/{played['ann'].id}", f"/sessions/{played['bob'].id}", "/tasks/x"):
        answer = client.get(path)
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        addresses = re.findall(r'(?:src|href|action)="([^"]*)"', answer.text)
        assert [one for one in addresses if not one.startswith(("/", "#", "?"))] == []
        assert re.findall(r"<script(?! defer src| type=\"module\" src)", answer.text) == []
        assert re.findall(r"<style|\sstyle=|\son\w+=\"", answer.text) == []
        assert "set-cookie" not in answer.headers


def test_static_files_are_kept_for_good_under_their_own_address(client: httpx.Client) -> None:
    address = re.search(r'"(/static/[^"]+/pages\.css)"', client.get("/").text)
    assert address is not None
    style = client.get(address[1])
    assert style.headers["content-type"].startswith("text/css")
    assert "immutable" in style.headers["cache-control"]
    stale = client.get("/static/000000000000/pages.css")
    assert stale.headers["cache-control"] == "no-cache"
    assert stale.content == style.content
    for name in ("nothing.css", "..%2f..%2frender.py", "%2e%2e"):
        assert client.get(f"/static/000000000000/{name}").status_code == 404


def test_the_home_page_has_every_task_and_its_best(client: httpx.Client) -> None:
    page = client.get("/").text
    for task in client.get("/v1/tasks").json()["tasks"]:
        assert f'href="/tasks/{task["id"]}"' in page
        assert task["title"] in page
    best = client.get(f"/v1/leaderboards/{TASK}").json()["rows"][0]
    assert f"{best['val_loss_gpt-smoke']:.4f}" in page


def test_a_task_page_has_question_file_and_rows(client: httpx.Client, played: dict[str, Any]) -> None:
    page = client.get(f"/tasks/{TASK}").text
    assert "<h3>Research question</h3>" in page
    assert "Editable, lines 22–31" in page
    assert "Lines 1–21, fixed" in page
    assert page.count("data-n=") == 437
    assert f'href="/sessions/{played["ann"].id}#test-1"' in page
    board = client.get(f"/v1/leaderboards/{TASK}").json()["board"]["id"]
    assert f"/v1/leaderboards/{TASK}.csv?board={board}" in page
    assert played["bob"].id not in page  # not submitted
    assert played["bob"].id in client.get(f"/tasks/{TASK}?final=false").text


def test_sorting_and_filtering_work_by_address(client: httpx.Client, played: dict[str, Any]) -> None:
    def agents(**query: Any) -> list[str]:
        page = client.get(f"/tasks/{TASK}", params={"final": "false"} | query).text
        found = re.findall(r'<th scope="row"><a href="[^"]*">([^<]+)</a>', page)
        return [name for name in found if name in played]  # others use this service, too

    assert agents(sort="agent") == ["ann", "bob"]
    assert agents(sort="-agent") == ["bob", "ann"]
    assert agents(agent="bob") == ["bob"]
    assert agents(status="failed") == []
    assert agents(scale="gpt-345m") == []
    assert agents(final="true") == ["ann"]
    descending = client.get(f"/tasks/{TASK}", params={"sort": "-val_loss_gpt-smoke"}).text
    assert descending.count('aria-sort="descending"') == 1
    board = client.get(f"/v1/leaderboards/{TASK}").json()["board"]["id"]
    assert f"?board={board}&amp;sort=val_loss_gpt-smoke#leaderboard" in descending


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("sort=nonsense", "no column"),
        ("page=0", "page must be"),
        ("page=x", "page must be"),
        ("final=perhaps", "final must be"),
        ("agent=%00", "agent must be"),
        ("run=nobody-1", "There is no result"),
    ],
)
def test_a_bad_address_gets_a_page_that_says_why(client: httpx.Client, query: str, said: str) -> None:
    answer = client.get(f"/tasks/{TASK}?{query}")
    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"].startswith("text/html")
    assert said in answer.text


def test_what_does_not_exist_is_not_found(client: httpx.Client, played: dict[str, Any]) -> None:
    for path in ("/tasks/nothing", "/sessions/nothing", f"/sessions/{played['ann'].id}?page=7", "/sessions/%00"):
        assert client.get(path).status_code == 404
    assert client.get(f"/sessions/{played['ann'].id}?page=-1").status_code == 422


def test_a_submitted_session_is_open_to_everyone(client: httpx.Client, played: dict[str, Any]) -> None:
    ann = played["ann"]
    page = client.get(f"/sessions/{ann.id}").text
    assert "submitted" in page
    assert "<ins" in page  # the edit's difference
    assert "The whole result" in page  # the integrity record
    assert page.count('<li id="step-') == 7
    for path in ("", "/trajectory", "/tests/1"):
        assert client.get(f"/v1/sessions/{ann.id}{path}").status_code == 200
    assert ann.token not in page
    assert ann.token not in client.get(f"/v1/sessions/{ann.id}/trajectory").text


def test_hostile_texts_are_shown_as_text(client: httpx.Client, played: dict[str, Any]) -> None:
    page = client.get(f"/sessions/{played['ann'].id}").text
    assert "<script>alert" not in page
    assert "<img" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 4  # metadata, refused edit, difference, listing
    assert "\u202e" not in page
    assert "\\u202eevil" in page
    assert page.count("</main>") == 1


def test_an_open_session_takes_a_token_in_a_header(client: httpx.Client, played: dict[str, Any]) -> None:
    bob = played["bob"]

    def read(**headers: str) -> httpx.Response:
        return client.get(f"/sessions/{bob.id}", headers=headers)

    for answer in (read(), read(Authorization="Bearer wrong"), read(Authorization=f"Bearer {played['ann'].token}")):
        assert answer.status_code == 200
        assert "This session is still open" in answer.text
        assert "secret" not in answer.text
        assert answer.headers["cache-control"] == "no-store"
    assert "does not belong to this session" in read(Authorization="Bearer wrong").text
    assert "secret" not in client.get(f"/sessions/{bob.id}?token={bob.token}").text
    opened = read(Authorization=f"Bearer {bob.token}")
    assert "bob&#39;s secret" in opened.text
    assert opened.headers["cache-control"] == "no-store"
    assert bob.token not in opened.text
    assert client.get(f"/v1/sessions/{bob.id}").status_code == 401


def test_an_operator_may_read_an_open_session(serve: Serve) -> None:
    service = serve("--runner", "fake", "--key", KEY)
    with service.client(KEY) as operator:
        opened = operator.post("/v1/sessions", json={"task": TASK, "agent": "x"}).json()
        page = operator.get(f"/sessions/{opened['session_id']}").text
    assert "No steps yet." in page
    assert KEY not in page


def test_a_curve_is_open_and_thinned_on_request(client: httpx.Client, played: dict[str, Any]) -> None:
    key = f"{played['bob'].id}-1"
    whole = client.get(f"/v1/results/{key}/curve").json()
    assert (whole["run_key"], whole["source"], whole["stage"], whole["points"]) == (key, CURVE_SOURCE, "gpt-smoke", 20)
    assert whole["step"] == list(range(10, 201, 10))
    assert len(whole["train_loss"]) == len(whole["val_loss"]) == 20
    thin = client.get(f"/v1/results/{key}/curve", params={"points": 10}).json()
    assert (thin["step"][0], thin["step"][-1], thin["points"]) == (10, 200, 20)
    assert len(thin["step"]) <= 10
    for unknown in ("nothing", f"{played['bob'].id}-9"):
        assert client.get(f"/v1/results/{unknown}/curve").json()["code"] == "unknown_result"
    assert client.get(f"/v1/results/{key}/curve", params={"points": 1}).status_code == 422


def test_chosen_curves_are_tables_without_script(client: httpx.Client, played: dict[str, Any]) -> None:
    keys = [f"{played[name].id}-1" for name in ("ann", "bob")]
    page = client.get(f"/tasks/{TASK}", params={"run": keys, "final": "false"}).text
    assert page.count('<table class="points">') == 2
    assert all(f"<caption>{key}</caption>" in page for key in keys)
    assert len(re.findall(r'name="run" value="[^"]+"[^>]* checked', page)) == 2


def test_a_long_trajectory_has_pages(shared: Server) -> None:
    agent = shared.open()
    for number in range(29):
        agent.call("edit", {"start_line": 246, "end_line": 246, "content": f"    # turn {number}"})
    agent.call("undo", {"n": 3})
    agent.post("/test?wait=30")
    agent.call("submit", {"n": 1})
    with shared.client() as client:
        first, second = (client.get(f"/sessions/{agent.id}?page={page}").text for page in (1, 2))
    assert first.count('<li id="step-') == 25
    assert 'href="?page=2#trajectory"' in first
    assert [int(n) for n in re.findall(r'<li id="step-(\d+)"', second)] == list(range(26, 33))
    undone = second[second.index('id="step-30"') : second.index('id="step-31"')]
    assert re.findall(r"<(ins|del)[^>]*>    # (turn \d+)", undone) == [("del", "turn 28"), ("ins", "turn 25")]
