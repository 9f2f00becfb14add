"""The parts that pages are made of: text made safe, differences, listings, figures, addresses, records."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboard.pages import figures
from leaderboard.pages.address import MAX_RUNS, BadValue, BoardAddress
from leaderboard.pages.difference import MAX_CHARS, MAX_LINE_CHARS, MAX_LINES, difference
from leaderboard.pages.listing import blocks
from leaderboard.pages.notices import error_page
from leaderboard.pages.record import record_view
from leaderboard.pages.render import prose, visible

LINES = st.lists(st.sampled_from(["a", "b", "c", "", "    d"]), max_size=30).map("\n".join)


# --- text -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hidden", "seen"),
    [
        ("\u202etxt.exe", "\\u202etxt.exe"),
        ("a\x00b\x1b[31m", "a\\u0000b\\u001b[31m"),
        ("\ud800", "\\ud800"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("äöü 漢字 🙂", "äöü 漢字 🙂"),
    ],
)
def test_what_hides_in_a_text_is_made_visible(hidden: str, seen: str) -> None:
    assert visible(hidden) == seen
    assert seen.replace("&", "&amp;") in error_page(404, hidden)


@given(st.text())
def test_no_text_becomes_markup(text: str) -> None:
    page = error_page(404, f"<i>{text}</i>")
    page.encode()  # no lone surrogate is left
    assert "<i>" not in page
    assert page.count("<script") == 0


def test_markdown_lets_no_html_and_no_foreign_picture_through() -> None:
    html = prose("# Title\n\n<script>alert(1)</script> **bold** ![x](http://a/b.png) [go](javascript:alert(1))")
    assert "<h2>Title</h2>" in html
    assert "<strong>bold</strong>" in html
    assert "<script" not in html
    assert "<img" not in html
    assert 'href="javascript' not in html


# --- differences and listings ---------------------------------------------------------------------------------------


@given(LINES, LINES)
def test_a_difference_leads_from_before_to_after(before: str, after: str) -> None:
    found = difference("f.py", before, after)
    old, new = (text.split("\n") if text else [] for text in (before, after))
    lines = [line for hunk in found.hunks for line in hunk]
    for line in lines:
        assert line.text == (old if line.kind == "removed" else new)[line.number - 1]
    removed = {line.number for line in lines if line.kind == "removed"}
    added = {line.number for line in lines if line.kind == "added"}
    kept = [text for n, text in enumerate(old, 1) if n not in removed]
    assert kept == [text for n, text in enumerate(new, 1) if n not in added]
    assert (found.added, found.removed) == (len(added), len(removed))
    assert (before == after) is (not found.hunks)


@pytest.mark.parametrize(("width", "shown"), [(5, MAX_LINES), (5000, MAX_CHARS // MAX_LINE_CHARS)])
def test_a_huge_difference_is_cut(width: int, shown: int) -> None:
    found = difference("f.py", "", "\n".join("x" * width for _ in range(3000)))
    (hunk,) = found.hunks
    assert len(hunk) == shown
    assert (found.added, found.left_out) == (3000, 3000 - shown)
    assert max(len(line.text) for line in hunk) == min(width, MAX_LINE_CHARS + 1)


def test_lines_made_to_be_slow_to_match_are_not_matched() -> None:
    before, after = ("\n".join([end, *"ab" * 2000, end]) for end in ("start", "stop"))
    found = difference("f.py", before, after)
    assert (found.added, found.removed) == (4002, 4002)


def test_a_listing_shows_every_line_once() -> None:
    text = "".join(f"{n}\n" for n in range(1, 11))
    found = blocks(text, [(1, 2), (5, 5), (9, 10)])
    assert [(block.first, block.last, block.editable) for block in found] == [
        (1, 2, True),
        (3, 4, False),
        (5, 5, True),
        (6, 8, False),
        (9, 10, True),
    ]
    assert [line for block in found for line in block.lines] == [str(n) for n in range(1, 11)]
    assert [block.where for block in found[1:3]] == ["lines 3–4", "line 5"]


# --- figures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        (None, "–"),
        (2.29931, "2.2993"),
        (45.31, "45.31"),
        (3e-7, "3e-7"),
        (float("nan"), "–"),
        (12, "12"),
        (1766833155.2, "1.77e9"),
        ("x", "x"),
    ],
)
def test_figures_have_the_places_their_size_asks_for(value: object, seen: str) -> None:
    assert figures.figure(value) == seen


@pytest.mark.parametrize(
    ("seconds", "seen"),
    [(None, "–"), (48.16, "48.2 s"), (59.96, "60.0 s"), (724, "12 min 04 s"), (20548, "5 h 42 min")],
)
def test_durations_have_two_units(seconds: float | None, seen: str) -> None:
    assert figures.duration(seconds) == seen


# --- addresses ------------------------------------------------------------------------------------------------------

TEXTS = st.none() | st.text(min_size=1, max_size=30).filter(lambda text: "\0" not in text and text == text.strip())


RUNS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=200)
"""Keys that an address takes: PostgreSQL has no NUL in a text."""


@given(
    st.builds(
        BoardAddress,
        scale=TEXTS,
        status=TEXTS,
        agent=TEXTS,
        final=st.booleans(),
        sort=TEXTS,
        page=st.integers(1, 1000),
        runs=st.lists(RUNS, unique=True, max_size=5).map(tuple),
    )
)
def test_an_address_says_everything_a_query_does(query: BoardAddress) -> None:
    try:
        address = query.address(page=query.page)
    except UnicodeEncodeError:  # a lone surrogate has no place in an address
        return
    assert BoardAddress.of(parse_qs(address[1:], keep_blank_values=True)) == query


@pytest.mark.parametrize(
    "values",
    [
        {"page": ["0"]},
        {"page": ["-1"]},
        {"page": ["²"]},
        {"page": ["9" * 30]},
        {"final": ["maybe"]},
        {"agent": ["a\0b"]},
        {"sort": ["x" * 201]},
        {"run": [str(n) for n in range(MAX_RUNS + 1)]},
    ],
)
def test_a_bad_address_says_what_is_allowed(values: dict[str, list[str]]) -> None:
    with pytest.raises(BadValue, match=r"must be|at most"):
        BoardAddress.of(values)


# --- the record -----------------------------------------------------------------------------------------------------

AUDIT: dict[str, Any] = {"name": "causality", "passed": True, "figure": 3e-7, "limit": 0.001, "unit": "nats"}


def test_audits_are_found_and_the_rest_is_shown_as_it_is() -> None:
    view = record_view(
        {
            "audits": [
                AUDIT | {"run": "a-1"},
                AUDIT | {"name": "drift", "passed": False, "samples": 512, "where": "row 3"},
            ],
            "template_unmodified": False,
            "settings": {"SEED": "42", "MAX_ITERS": "200"},
            "runs": [{"run": "a-1", "stage": "gpt", "started_at": 1795267200.0, "elapsed_s": 724.0}],
            "never_heard_of": {"deep": {"deeper": [1, 2, 3]}},
        }
    )
    assert [(audit.name, audit.stage, audit.passed, audit.limit, audit.where) for audit in view.audits] == [
        ("causality", "gpt", True, "0.001", ""),
        ("drift", "", False, "0.001", "row 3"),
    ]
    assert view.passed == 1
    unmodified, settings, runs, unknown = view.entries
    assert (unmodified.title, unmodified.text) == ("Template unmodified", "no")
    assert settings.compact
    assert [(entry.title, entry.text) for entry in settings.entries] == [("SEED", "42"), ("MAX_ITERS", "200")]
    assert runs.rows == (("a-1", "gpt", "2026-11-21 13:20:00", "12 min 04 s"),)
    assert unknown.title == "Never heard of"
    assert unknown.entries[0].entries[0].text == "1, 2, 3"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["audits", "runs", "x_at", "y_s", "machine"]) | st.text(), JSON))
def test_any_record_can_be_shown(record: dict[str, Any]) -> None:
    record_view(record)
