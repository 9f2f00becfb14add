"""What an agent is shown, character by character."""

from __future__ import annotations

import pytest

from env.document import Document, EditRefused, current_file, listing, ranges_text, view


def lines(prefix: str, count: int) -> list[str]:
    return [f"{prefix} {n}" for n in range(1, count + 1)]


def document() -> Document:
    text = "\n".join(['"""Doc', "", *lines("fixed", 20)]) + "\n"
    opened = Document.open("pkg/file.py", text, [(3, 4), (10, 10), (15, 15)])
    return opened.with_editable([lines("    head", 9), ["one", "", *lines("six", 6)], []])


def test_current_file_shows_both_ends_of_long_ranges() -> None:
    assert current_file(document()) == (
        "[Current file: pkg/file.py | editable: 3–11, 17–24, 29–28 (empty: insert after line 28) | total: 35 lines]\n"
        "     3      head 1\n"
        "     4      head 2\n"
        "     5      head 3\n"
        "       ... (3 more lines) ...\n"
        "     9      head 7\n"
        "    10      head 8\n"
        "    11      head 9\n"
        "...\n"
        "    17  one\n"
        "    18  \n"
        "    19  six 1\n"
        "    20  six 2\n"
        "    21  six 3\n"
        "    22  six 4\n"
        "    23  six 5\n"
        "    24  six 6\n"
        "..."
    )


def test_ranges_keep_their_form_for_a_single_line() -> None:
    text = "\n".join(lines("x", 300)) + "\n"
    assert ranges_text(Document.open("f.py", text, [(22, 38), (95, 107), (252, 252)])) == "22–38, 95–107, 252–252"


def test_listing_is_headed_by_what_may_be_edited() -> None:
    opened = Document.open("pkg/file.py", 'a\n"""\n\nd\n', [(1, 1), (3, 4)])
    assert listing(opened) == (
        'pkg/file.py [EDITABLE — lines 1–1, lines 3–4 only]\n\n     1: a\n     2: """\n     3: \n     4: d'
    )


@pytest.mark.parametrize(
    ("start", "end", "rows"),
    [
        (2, 3, ["     2  b", "     3  "]),
        (None, None, ["     1  a", "     2  b", "     3  ", "     4  d"]),
        (4, None, ["     4  d"]),
        (None, 1, ["     1  a"]),
        (3, 400, ["     3  ", "     4  d"]),
    ],
)
def test_view(start: int | None, end: int | None, rows: list[str]) -> None:
    opened = Document.open("f.py", "a\nb\n\nd\n", [(2, 3)])
    assert view(opened, start, end).split("\n") == ["[Current file: f.py | editable: 2–3 | total: 4 lines]", *rows]


@pytest.mark.parametrize(("start", "end"), [(5, 9), (3, 2), (0, 2), (-1, None), (1, -1), (1, 0)])
def test_view_of_no_lines_is_refused(start: int, end: int | None) -> None:
    with pytest.raises(EditRefused) as caught:
        view(Document.open("f.py", "a\nb\n\nd\n", [(2, 3)]), start, end)
    assert caught.value.code == "bad_lines"
    assert caught.value.message.endswith("You may view lines 1–4.")


def test_a_file_without_lines_can_be_shown() -> None:
    empty = Document.created("f.py", "")
    assert view(empty) == current_file(empty)
    assert current_file(empty) == "[Current file: f.py | editable: 1–0 (empty: insert after line 0) | total: 0 lines]"
