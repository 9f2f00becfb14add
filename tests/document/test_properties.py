"""What holds for any file and any sequence of edits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from env.document import Document, EditRefused, Insert, Op, Replace, StrReplace, apply, current_file, listing, view

CAP = 400
LINE = st.text("ab é", max_size=4)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """Files of short, often equal lines, with up to three ranges."""
    fixed = draw(st.lists(st.lists(LINE, min_size=1, max_size=3), min_size=2, max_size=4))
    lines: list[str] = list(fixed[0][draw(st.integers(0, 1)) :])
    ranges = []
    for segment in fixed[1:]:
        free = draw(st.lists(LINE, min_size=1, max_size=4))
        ranges.append((len(lines) + 1, len(lines) + len(free)))
        lines += free + segment
    return Document.open("f.py", "".join(line + "\n" for line in lines), ranges)


NUMBER = st.integers(-1, 20)
CONTENT = st.one_of(st.text("ab é\n\r", max_size=12), st.text(max_size=6), st.just("x" * CAP))
OPS: st.SearchStrategy[Op] = st.one_of(
    st.builds(Replace, NUMBER, NUMBER, CONTENT),
    st.builds(Insert, NUMBER, CONTENT),
    st.builds(StrReplace, st.text("ab é\n", max_size=6), CONTENT),
)


def attempt(document: Document, op: Op, cap: int) -> Document | EditRefused:
    try:
        return apply(document, op, max_bytes=cap).document
    except EditRefused as refusal:
        return refusal


def recounted(document: Document) -> list[tuple[int, int]]:
    """The ranges by walking the file line by line."""
    marks = [
        editable
        for index, segment in enumerate(document.segments)
        for editable in [*[index % 2 == 1] * len(segment.lines), None]
    ]
    ranges, line, start = [], 1, 1
    for index, mark in enumerate(marks):
        if mark is not None:
            line += 1
        elif marks[:index].count(None) % 2:
            ranges.append((start, line - 1))
        else:
            start = line
    return ranges


@given(documents(), st.lists(OPS, max_size=6))
def test_no_sequence_of_edits_touches_fixed_lines(opened: Document, ops: list[Op]) -> None:
    document = opened
    for op in ops:
        before = (document.text, document.ranges)
        result = attempt(document, op, CAP)
        if isinstance(result, Document):
            document = result
        assert isinstance(result, Document) or ((document.text, document.ranges) == before and result.message)
        assert document.fixed == opened.fixed
        assert list(document.ranges) == recounted(document)
        assert document.text == "".join(line + "\n" for line in document.lines)
        assert document.total_lines == len(document.lines) == document.text.count("\n")
        assert document.size == len(document.text.encode()) <= max(CAP, opened.size)
        assert opened.with_editable(document.editable_texts()) == document
        rest = list(document.lines)
        for start, end in reversed(document.ranges):
            del rest[start - 1 : end]
        assert rest == [line for segment in opened.fixed for line in segment.lines]
        assert current_file(document).count("\n") >= len(document.ranges) - 1
        assert len(listing(document).split("\n")) == document.total_lines + 2
        assert len(view(document).split("\n")) == document.total_lines + 1


@given(documents())
def test_opening_what_was_written_gives_the_same_document(document: Document) -> None:
    assert Document.open("f.py", document.text, document.ranges) == document


@given(documents(), st.text())
def test_any_text_is_refused_or_appears_exactly(document: Document, text: str) -> None:
    start, end = document.ranges[0]
    after = attempt(document, Replace(start, end, text), 100000)
    if isinstance(after, EditRefused):
        assert after.code == "bad_content"
        assert not text.isprintable()
        return
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    expected = plain if plain.endswith("\n") or not plain else plain + "\n"
    assert after.editable[0].text == expected
    assert after.text == document.fixed[0].text + expected + "".join(s.text for s in document.segments[2:])
    assert after.text.splitlines() == list(after.lines)


@given(documents(), st.text("ab\n", min_size=1, max_size=3), st.text("c\n", max_size=3))
def test_str_replace_is_the_plain_replacement_of_the_one_occurrence(document: Document, old: str, new: str) -> None:
    texts = [segment.text for segment in document.editable]
    hits = [sum(text.startswith(old, at) for at in range(len(text))) for text in texts]
    after = attempt(document, StrReplace(old, new), 100000)
    if isinstance(after, EditRefused):
        assert sum(hits) != 1 or after.code == "no_change"
        return
    assert sum(hits) == 1
    for before, hit, segment in zip(texts, hits, after.editable, strict=True):
        expected = before.replace(old, new) if hit else before
        assert segment.text.removesuffix("\n") == expected.removesuffix("\n")
