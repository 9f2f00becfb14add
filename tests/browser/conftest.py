"""A real browser. Without one its tests are skipped, or fail where RINGFENCE_REQUIRE_BROWSER is set."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from tests.support.waiting import Deadline

_NAMES = ("chromium", "chromium-browser", "google-chrome")


expect.set_options(timeout=20_000)


# Not for the whole session: as long as it is there, an event loop runs in this thread, and no other test can have one.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        if os.environ.get("RINGFENCE_REQUIRE_BROWSER"):
            pytest.fail("a browser is required here: install chromium")
        pytest.skip("no browser; the pages' tests need chromium")
    with sync_playwright() as playwright:
        # Its own sandbox needs rights that neither root nor a container has; all it visits is our own service.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """`visit(url, width=360, color_scheme="dark")` opens a page. Whatever a browser complains of fails the test."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    def visit(url: str, width: int = 1280, **options: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        context.set_default_timeout(20_000)
        page = context.new_page()
        page.on("console", heard)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: _own(request.url, url, complaints))
        page.goto(url)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def unfold() -> Callable[[Page], None]:
    """Opens everything on a page that can be opened."""

    def unfold(page: Page) -> None:
        closed = page.locator("details:not([open]) > summary:visible")
        deadline = Deadline(60)
        while closed.count():
            deadline.check("for everything to be open")
            closed.first.click()

    return unfold


def _own(requested: str, visited: str, complaints: list[str]) -> None:
    host = visited.split("/")[2]
    if not requested.startswith((f"http://{host}/", "blob:", "data:")):
        complaints.append(f"asked another host: {requested}")
