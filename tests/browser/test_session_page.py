"""A session's page in a browser: hostile texts, the token's form, and a test followed while it runs."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.support.service import Server

HOSTILE = "</pre></main><script>alert(1)</script><img src=x onerror=alert(2)><b id=injected>"
Visit = Callable[..., Page]


def test_hostile_texts_do_nothing_but_be_read(visit: Visit, unfold: Callable[[Page], None], shared: Server) -> None:
    agent = shared.open(agent="x", metadata={HOSTILE: HOSTILE})
    agent.call("edit", {"op": HOSTILE, "content": HOSTILE})
    agent.call("edit", {"old_str": HOSTILE, "new_str": HOSTILE})
    agent.call("edit", {"start_line": 246, "end_line": 246, "content": f"    # {HOSTILE}\n    # fake: exit=1"})
    agent.post("/test?wait=30")
    agent.call("submit", {"n": 1})
    page = visit(f"{shared.url}/sessions/{agent.id}")
    page.wait_for_load_state("networkidle")
    unfold(page)
    assert page.locator("#injected, main img, main script").count() == 0
    expect(page.locator("ins", has_text="alert(1)").first).to_be_visible()
    expect(page.locator(".pairs dt", has_text="alert(1)")).to_be_visible()


def test_a_curve_named_by_its_run_is_drawn(visit: Visit, shared: Server) -> None:
    agent = shared.open()
    agent.post("/test?wait=30")
    agent.call("submit", {"n": 1})
    page = visit(f"{shared.url}/sessions/{agent.id}")
    expect(page.locator(".test .chart canvas")).to_be_visible()
    page.get_by_text("Integrity record").click()
    expect(page.get_by_text("Template, SHA-256")).to_be_visible()


def test_the_token_opens_a_session_and_stays_in_the_tab(visit: Visit, shared: Server) -> None:
    agent = shared.open(agent="insider")
    address = f"{shared.url}/sessions/{agent.id}"
    page = visit(address)
    field = page.get_by_label("Token or key")
    field.fill("rf_wrong")
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_role("alert")).to_contain_text("does not belong to this session")
    page.get_by_label("Token or key").fill(agent.token)
    page.get_by_label("Token or key").press("Enter")
    expect(page.get_by_role("heading", name="insider")).to_be_visible()
    assert page.url == address
    assert page.context.cookies() == []
    assert agent.token not in page.content()
    page.reload()
    expect(page.get_by_role("heading", name="insider")).to_be_visible()
    with page.expect_download() as download:
        page.locator("#trajectory").get_by_role("link", name="JSON").click()
    assert download.value.suggested_filename == "trajectory.json"
    page.get_by_role("button", name="Forget the token").click()
    expect(page.get_by_role("heading", name="This session is still open")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0
    elsewhere = visit(address)
    expect(elsewhere.get_by_label("Token or key")).to_be_visible()


def test_a_running_test_is_followed_to_its_end(visit: Visit, shared: Server) -> None:
    agent = shared.open(agent="runner")
    agent.call("edit", {"start_line": 246, "end_line": 246, "content": "    # fake: seconds=6"})
    agent.call("test")
    page = visit(f"{shared.url}/sessions/{agent.id}")
    page.get_by_label("Token or key").fill(agent.token)
    page.get_by_label("Token or key").press("Enter")
    test = page.locator("#test-1")
    expect(test.locator(".status").first).to_have_text("running")
    expect(test.locator("[data-progress]")).to_have_text(re.compile(r"gpt-smoke: step \d+ of 200, \d+ s left\."))
    expect(test.locator(".chart canvas")).to_be_visible()
    first = test.locator("[data-progress]").inner_text().split(",")[0]
    expect(test.locator("[data-progress]")).not_to_contain_text(first)
    assert page.evaluate("document.querySelector('[data-bar]').max") == 200
    # Its end brings the result, without a hand on the page.
    expect(test.locator(".status").first).to_have_text("succeeded")
    expect(test.get_by_text("val_loss", exact=True)).to_be_visible()
    expect(test.locator(".chart canvas")).to_be_visible()


def test_a_running_probe_is_followed_and_its_curve_stays(visit: Visit, shared: Server) -> None:
    agent = shared.open(scale="gpt-345m")
    agent.call("edit", {"op": "insert", "after_line": 246, "content": "    # fake: seconds=12"})
    assert agent.call("probe").status_code == 202
    page = visit(f"{shared.url}/sessions/{agent.id}")
    page.get_by_label("Token or key").fill(agent.token)
    page.get_by_label("Token or key").press("Enter")
    probe = page.locator("#probe-1")
    expect(probe.locator("h3 .status")).to_have_text("running")
    expect(probe.locator("[data-progress]")).to_have_text(re.compile(r"gpt-124m: step \d+ of 1335, \d+ s left\."))
    expect(probe.locator("h3 .status")).to_have_text("succeeded", timeout=60_000)
    # It has no row on the leaderboard: its losses are asked for with the token.
    expect(probe.locator(".chart canvas")).to_be_visible()
    expect(probe.locator("h3 .tag")).to_have_text("gpt-124m, never ranked")
    expect(page.get_by_text("Differences of val_loss under 0.005 are not to be trusted")).to_have_count(2)
