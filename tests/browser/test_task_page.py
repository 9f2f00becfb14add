"""A task's page in a browser: sorting, filtering, curves, by mouse and keyboard, at every width."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.support.service import TASK, Server

Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def address(shared: Server) -> str:
    """Of the page of a task with four submitted results, one of them failed."""
    for name, comment in (("ann", "x"), ("bob", "y"), ("cat", "z"), ("eve", "fake: exit=1")):
        agent = shared.open(agent=name)
        agent.call("edit", {"start_line": 246, "end_line": 246, "content": f"    # {comment}"})
        agent.post("/test?wait=30")
        agent.call("submit", {"n": 1})
    return f"{shared.url}/tasks/{TASK}"


def agents(page: Page) -> list[str]:
    return page.locator(".board tbody th a").all_inner_texts()


def test_a_click_on_a_column_sorts_and_a_second_turns_it_round(visit: Visit, address: str) -> None:
    page = visit(address)
    by_loss = agents(page)
    assert sorted(by_loss) == ["ann", "bob", "cat", "eve"]
    assert by_loss[-1] == "eve"  # no loss: last either way
    column = page.locator("th", has_text="Agent")
    expect(column).to_have_attribute("aria-sort", "none")
    for order, expected in (("ascending", ["ann", "bob", "cat", "eve"]), ("descending", ["eve", "cat", "bob", "ann"])):
        column.get_by_role("link").click()
        expect(column).to_have_attribute("aria-sort", order)
        assert agents(page) == expected


def test_filters_choose_rows(visit: Visit, address: str) -> None:
    page = visit(address)
    page.get_by_label("Status").select_option("failed")
    page.get_by_role("button", name="Filter").click()
    expect(page).to_have_url(re.compile("status=failed"))
    assert agents(page) == ["eve"]
    page.get_by_label("Status").select_option("")
    page.get_by_label("Agent", exact=True).fill("bob")
    page.get_by_label("Agent", exact=True).press("Enter")
    expect(page).to_have_url(re.compile("agent=bob"))
    assert agents(page) == ["bob"]
    page.get_by_label("Agent", exact=True).fill("nobody")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_text("No results match")).to_be_visible()


def test_boxes_choose_curves_and_the_address_keeps_them(visit: Visit, address: str) -> None:
    page = visit(address)
    legend = page.locator(".legend li")
    expect(legend).to_have_count(3)
    expect(page.locator(".chart canvas")).to_be_visible()
    expect(page.get_by_role("checkbox", name=re.compile("Curve of eve"))).not_to_be_checked()  # it failed
    page.get_by_role("checkbox", name=re.compile("Curve of cat")).uncheck()
    expect(legend).to_have_count(2)
    expect(page).to_have_url(re.compile("run="))
    again = visit(page.url)
    expect(again.locator(".legend li")).to_have_count(2)
    expect(again.get_by_role("checkbox", name=re.compile("Curve of cat"))).not_to_be_checked()


def test_curves_can_be_switched_and_axes_chosen(visit: Visit, address: str) -> None:
    page = visit(address)
    expect(page.locator(".legend li")).to_have_count(3)
    chart = page.get_by_role("img", name=re.compile("Dev loss by step"))
    expect(chart).to_have_attribute("aria-label", re.compile("bob .*ends at"))
    before = chart.screenshot()
    page.locator(".legend li", has_text="bob").get_by_role("checkbox").uncheck()
    expect(chart).not_to_have_attribute("aria-label", re.compile("bob"))
    assert chart.screenshot() != before
    for group, option in (("Loss", "log"), ("Steps", "log"), ("Show", "everything"), ("Curve", "training")):
        before = page.locator(".chart").screenshot()
        page.get_by_role("group", name=group, exact=True).get_by_label(option).check()
        expect(page.locator(".chart canvas")).to_be_visible()
        assert page.locator(".chart").screenshot() != before, f"{group} {option} changed nothing"
    expect(page.get_by_role("img", name=re.compile("Training loss by step"))).to_be_visible()


def test_the_points_are_there_as_a_table(visit: Visit, address: str) -> None:
    page = visit(address)
    page.get_by_text("Points as a table").click()
    table = page.locator(".chart-room table")
    expect(table.locator("tbody tr")).to_have_count(16)
    assert table.locator("thead th").count() == 4
    assert table.locator("thead th[scope=col]").count() == 4
    last = table.locator("tbody tr").last
    expect(last.locator("th")).to_have_text("200")
    assert re.fullmatch(r"\d\.\d{4}", last.locator("td").first.inner_text())


def test_it_works_by_keyboard_alone(visit: Visit, address: str) -> None:
    page = visit(address)
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    expect(page.get_by_text("Skip to the content")).to_be_in_viewport()
    reached: list[str] = []
    for _ in range(40):
        page.keyboard.press("Tab")
        focus = page.evaluate(
            "() => { const e = document.activeElement, s = getComputedStyle(e);"
            " return [e.getAttribute('aria-label') || e.textContent.trim() || e.name, s.outlineStyle, s.outlineWidth] }"
        )
        assert focus[1] != "none", f"no visible focus on {focus[0]!r}"
        reached.append(focus[0])
        if focus[0].startswith("Curve of"):
            break
    assert any(name.startswith("Curve of") for name in reached), reached
    assert {"JSON", "CSV", "Filter"} <= set(reached)
    expect(page.locator(".legend li")).to_have_count(3)
    page.keyboard.press("Space")
    expect(page.locator(".legend li")).to_have_count(2)


@pytest.mark.parametrize("width", [360, 768, 1280])
@pytest.mark.parametrize("path", ["/", f"/tasks/{TASK}", "session"])
def test_no_page_scrolls_sideways(
    visit: Visit, unfold: Callable[[Page], None], address: str, shared: Server, width: int, path: str
) -> None:
    if path == "session":
        with shared.client() as client:
            board = client.get(f"/v1/leaderboards/{TASK}").json()
        path = f"/sessions/{board['rows'][0]['session_id']}"
    page = visit(address.removesuffix(f"/tasks/{TASK}") + path, width=width)
    page.wait_for_load_state("networkidle")
    unfold(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_colours_follow_the_readers_scheme(visit: Visit, address: str) -> None:
    def lightness(page: Page) -> float:
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3

    light, dark = (visit(address, color_scheme=scheme) for scheme in ("light", "dark"))
    assert lightness(light) > 240
    assert lightness(dark) < 40
    assert _contrast(light) >= 4.5
    assert _contrast(dark) >= 4.5
    expect(light.locator(".chart canvas")).to_be_visible()
    before = light.locator(".chart").screenshot()
    light.emulate_media(color_scheme="dark")
    light.wait_for_timeout(200)
    assert light.locator(".chart").screenshot() != before


def _contrast(page: Page) -> float:
    """The lowest contrast of any visible text on its background (WCAG 2.2)."""
    return float(
        page.evaluate(
            """() => {
        const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
        const shade = ([r, g, b]) => [r, g, b].map((v) => v / 255)
            .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
            .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
        const ground = (e) => { for (; e; e = e.parentElement) {
            const c = getComputedStyle(e).backgroundColor;
            if (c.startsWith('rgb(')) return shade(numbers(c)); } return 1; };
        let lowest = 21;
        for (const e of document.querySelectorAll('main *')) {
            const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
            if (!own || !e.checkVisibility() || e.disabled || e.closest('.file, option')) continue;
            const [a, b] = [shade(numbers(getComputedStyle(e).color)), ground(e)].sort((x, y) => y - x);
            lowest = Math.min(lowest, (a + 0.05) / (b + 0.05));
        }
        return lowest;
    }"""
        )
    )


def test_without_script_the_page_still_sorts_filters_and_shows_points(visit: Visit, address: str) -> None:
    page = visit(address, java_script_enabled=False)
    with page.expect_navigation():
        page.locator("th", has_text="Agent").get_by_role("link").click()
    assert agents(page) == ["ann", "bob", "cat", "eve"]
    with page.expect_navigation():
        page.get_by_role("button", name="Show the chosen curves").click()
    assert page.locator("table.points").count() == 3
