"""Opening, storing and restoring a document."""

from __future__ import annotations

import pytest

from env.document import Document, EditRefused


def test_ranges_at_both_ends_of_the_file() -> None:
    document = Document.open("f.py", "a\nb\nc\n", [(1, 1), (3, 3)])
    assert [segment.lines for segment in document.segments] == [(), ("a",), ("b",), ("c",), ()]
    assert document.ranges == ((1, 1), (3, 3))
    assert document.text == "a\nb\nc\n"
    assert document.total_lines == 3
    assert document.size == 6


def test_a_missing_newline_at_the_end_is_added() -> None:
    assert Document.open("f.py", "a\nb", [(1, 1)]).text == "a\nb\n"


@pytest.mark.parametrize("editable", [[], [(0, 1)], [(2, 4)], [(1, 1), (2, 3)], [(3, 3), (1, 1)], [(3, 1)]])
def test_ranges_the_task_loader_would_refuse_are_our_bug(editable: list[tuple[int, int]]) -> None:
    with pytest.raises(AssertionError):
        Document.open("f.py", "a\nb\nc\n", editable)


def test_a_created_file_is_editable_throughout() -> None:
    document = Document.created("f.py", "a\r\nb\n")
    assert (document.ranges, document.text) == (((1, 2),), "a\nb\n")


@pytest.mark.parametrize(("text", "code"), [("a\x00", "bad_content"), ("é" * 6, "too_large"), ("x" * 12, "too_large")])
def test_a_created_file_has_the_same_limits_as_an_edit(text: str, code: str) -> None:
    with pytest.raises(EditRefused) as caught:
        Document.created("f.py", text, max_bytes=12)
    assert caught.value.code == code


def test_equal_states_are_equal_however_they_were_reached() -> None:
    opened = Document.open("f.py", "a\nb\nc\n", [(2, 2)])
    there = opened.with_editable([["x", "y"]])
    assert there != opened
    assert there.with_editable(opened.editable_texts()) == opened
    assert hash(there.with_editable([["b"]])) == hash(opened)
