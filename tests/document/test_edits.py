"""Each op's effect, its sentence and its refusals."""

from __future__ import annotations

import pytest

from env.document import OPERATIONS, Document, EditRefused, Insert, Op, Replace, StrReplace, apply
from tasks.schema import EDIT_KEYS

CAP = 65536


def numbered(count: int) -> str:
    return "".join(f"line {n}\n" for n in range(1, count + 1))


@pytest.fixture
def one() -> Document:
    return Document.open("pkg/file.py", numbered(20), [(3, 14)])


@pytest.fixture
def three() -> Document:
    """The layout of the recorded sessions: 437 lines, of which 10, 13 and 3 are editable."""
    return Document.open("pkg/file.py", numbered(437), [(22, 31), (88, 100), (245, 247)])


def refused(document: Document, op: Op, cap: int = CAP) -> EditRefused:
    with pytest.raises(EditRefused) as caught:
        apply(document, op, max_bytes=cap)
    return caught.value


def test_replace_moves_the_ranges_behind_it(three: Document) -> None:
    steps = [
        (
            Replace(22, 31, numbered(17)),
            "Replaced lines 22..31 with 17 line(s)",
            ((22, 38), (95, 107), (252, 254)),
            444,
        ),
        (
            Replace(95, 107, numbered(16)),
            "Replaced lines 95..107 with 16 line(s)",
            ((22, 38), (95, 110), (255, 257)),
            447,
        ),
        (
            Replace(255, 257, "a\nb\nc"),
            "Replaced lines 255..257 with 3 line(s)",
            ((22, 38), (95, 110), (255, 257)),
            447,
        ),
        (
            Replace(22, 38, numbered(15)),
            "Replaced lines 22..38 with 15 line(s)",
            ((22, 36), (93, 108), (253, 255)),
            445,
        ),
    ]
    document = three
    for op, what, ranges, total in steps:
        applied = apply(document, op, max_bytes=CAP)
        document = applied.document
        assert (applied.what, document.ranges, document.total_lines) == (what, ranges, total)
        assert document.fixed == three.fixed


def test_replace_inside_a_range_keeps_its_other_lines(one: Document) -> None:
    document = apply(one, Replace(5, 6, "x"), max_bytes=CAP).document
    assert document.lines[2:8] == ("line 3", "line 4", "x", "line 7", "line 8", "line 9")
    assert document.ranges == ((3, 13),)


def test_an_emptied_range_stays_insertable(one: Document) -> None:
    emptied = apply(one, Replace(3, 14, ""), max_bytes=CAP)
    assert emptied.what == "Replaced lines 3..14 with 0 line(s)"
    assert emptied.document.ranges == ((3, 2),)
    assert emptied.document.lines[1:3] == ("line 2", "line 15")
    assert refused(emptied.document, Replace(3, 3, "x")).message == (
        "Lines 3..3 exceed the editable range. You may only edit lines 3–2 (empty: insert after line 2)."
    )
    filled = apply(emptied.document, Insert(2, "x\ny"), max_bytes=CAP)
    assert filled.what == "Inserted 2 line(s) after line 2"
    assert filled.document.ranges == ((3, 4),)
    assert filled.document.lines[1:5] == ("line 2", "x", "y", "line 15")


@pytest.mark.parametrize(("after", "expected"), [(2, 2), (3, 3), (14, 14)])
def test_insert_works_from_before_the_first_line_to_behind_the_last(one: Document, after: int, expected: int) -> None:
    document = apply(one, Insert(after, "new\n"), max_bytes=CAP).document
    assert document.lines[expected] == "new"
    assert document.ranges == ((3, 15),)


@pytest.mark.parametrize("after", [-1, 0, 1, 15, 18, 23, 999])
def test_insert_elsewhere_says_where_it_is_allowed(after: int) -> None:
    document = Document.open("f.py", numbered(30), [(3, 14), (20, 22)])
    refusal = refused(document, Insert(after, "x"))
    assert refusal.code == "outside_editable"
    assert refusal.message == (
        f"Line {after} is outside the editable range. You may only insert after lines 2–14, 19–22."
    )


def test_two_emptied_ranges_a_line_apart_are_told_apart() -> None:
    document = Document.open("f.py", numbered(5), [(2, 2), (4, 4)]).with_editable([[], []])
    assert document.ranges == ((2, 1), (3, 2))
    assert apply(document, Insert(1, "x"), max_bytes=CAP).document.editable_texts() == (("x",), ())
    assert apply(document, Insert(2, "x"), max_bytes=CAP).document.editable_texts() == ((), ("x",))


@pytest.mark.parametrize(
    ("start", "end", "code", "message"),
    [
        (1, 15, "outside_editable", "Lines 1..15 exceed the editable range. You may only edit lines 3–14, 20–22."),
        (14, 20, "outside_editable", "Lines 14..20 exceed the editable range. You may only edit lines 3–14, 20–22."),
        (15, 19, "outside_editable", "Lines 15..19 exceed the editable range. You may only edit lines 3–14, 20–22."),
        (0, 4, "bad_lines", "Lines 0..4 do not exist: line numbers begin at 1. You may only edit lines 3–14, 20–22."),
        (
            -2,
            -1,
            "bad_lines",
            "Lines -2..-1 do not exist: line numbers begin at 1. You may only edit lines 3–14, 20–22.",
        ),
        (9, 5, "bad_lines", "end_line 5 is before start_line 9. You may only edit lines 3–14, 20–22."),
        (
            22,
            31,
            "beyond_end",
            "Lines 22..31 go beyond the end of the file, line 30. You may only edit lines 3–14, 20–22.",
        ),
    ],
)
def test_replace_elsewhere_says_what_is_allowed(start: int, end: int, code: str, message: str) -> None:
    refusal = refused(Document.open("f.py", numbered(30), [(3, 14), (20, 22)]), Replace(start, end, "x"))
    assert (refusal.code, refusal.message) == (code, message)


def test_one_range_is_named_as_recorded(one: Document) -> None:
    assert refused(one, Replace(1, 15, "x")).message == (
        "Lines 1..15 exceed the editable range. You may only edit lines 3–14."
    )


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ("", ()),
        ("\n", ("",)),
        ("a", ("a",)),
        ("a\n", ("a",)),
        ("a\nb\n\n", ("a", "b", "")),
        ("\n\na", ("", "", "a")),
        ("a\r\nb\rc\r\n", ("a", "b", "c")),
        ("a\n\rb", ("a", "", "b")),
        ("\tindented by a tab  ", ("\tindented by a tab  ",)),
        ("é ─ 你好 🙂 ħ", ("é ─ 你好 🙂 ħ",)),
    ],
)
def test_lines_of_content(one: Document, content: str, lines: tuple[str, ...]) -> None:
    assert apply(one, Replace(3, 14, content), max_bytes=CAP).document.editable_texts() == (lines,)


@pytest.mark.parametrize(
    ("character", "name"),
    [
        ("\x00", "U+0000 (NUL)"),
        ("\x07", "U+0007 (CONTROL CHARACTER)"),
        ("\x0b", "U+000B (VERTICAL TAB)"),
        ("\x0c", "U+000C (FORM FEED)"),
        ("\x1b", "U+001B (ESCAPE)"),
        ("\x1c", "U+001C (FILE SEPARATOR)"),
        ("\x1d", "U+001D (GROUP SEPARATOR)"),
        ("\x1e", "U+001E (RECORD SEPARATOR)"),
        ("\x1f", "U+001F (CONTROL CHARACTER)"),
        ("\x7f", "U+007F (DELETE)"),
        ("\x85", "U+0085 (NEXT LINE)"),
        ("\x9f", "U+009F (CONTROL CHARACTER)"),
        ("\u061c", "U+061C (ARABIC LETTER MARK)"),
        ("\u200e", "U+200E (LEFT-TO-RIGHT MARK)"),
        ("\u200f", "U+200F (RIGHT-TO-LEFT MARK)"),
        ("\u2028", "U+2028 (LINE SEPARATOR)"),
        ("\u2029", "U+2029 (PARAGRAPH SEPARATOR)"),
        ("\u202a", "U+202A (LEFT-TO-RIGHT EMBEDDING)"),
        ("\u202e", "U+202E (RIGHT-TO-LEFT OVERRIDE)"),
        ("\u2066", "U+2066 (LEFT-TO-RIGHT ISOLATE)"),
        ("\u2069", "U+2069 (POP DIRECTIONAL ISOLATE)"),
        ("\ufeff", "U+FEFF (BYTE ORDER MARK)"),
        ("\ud800", "U+D800 (LONE SURROGATE)"),
        ("\udfff", "U+DFFF (LONE SURROGATE)"),
    ],
)
def test_characters_that_not_everyone_sees_alike_are_refused(one: Document, character: str, name: str) -> None:
    for op, field in (
        (Replace(3, 4, f"a\r\nb{character}c"), "content"),
        (Insert(3, f"a\nb{character}"), "content"),
        (StrReplace("line 3", f"a\n{character}"), "new_str"),
    ):
        refusal = refused(one, op)
        assert refusal.code == "bad_content"
        assert refusal.message.startswith(f"Line 2 of {field} has {name}. ")


def test_the_file_may_reach_its_cap_and_not_a_byte_more(one: Document) -> None:
    rest = one.size - sum(len(f"line {n}\n") for n in range(3, 15))
    room = one.size + 10 - rest
    filled = apply(one, Replace(3, 14, "é" * (room // 2) + "x" * (room % 2 - 1)), max_bytes=one.size + 10)
    assert one.size + 9 <= filled.document.size <= one.size + 10
    assert refused(one, Replace(3, 14, "é" * (room // 2 + 1)), one.size + 10).code == "too_large"
    assert refused(one, Insert(3, "x" * CAP), CAP).code == "too_large"


def test_a_file_over_its_cap_may_still_be_made_smaller(one: Document) -> None:
    assert apply(one, Replace(3, 5, "x"), max_bytes=10).document.total_lines == 18
    assert refused(one, Replace(3, 3, "longer than it was"), 20).code == "too_large"


TEXT = """\
import math
class Norm:
    eps = 1e-5
    scale = 1e-5

    def f(self, aaaa):
        return aaaa
def fixed():
    return eps
"""


@pytest.fixture
def code() -> Document:
    return Document.open("f.py", TEXT, [(2, 4), (6, 7)])


NORM = ("class Norm:", "    eps = 1e-5", "    scale = 1e-5")
FUNCTION = ("    def f(self, aaaa):", "        return aaaa")


@pytest.mark.parametrize(
    ("old", "new", "where", "index", "lines"),
    [
        ("eps = 1e-5", "eps = 1", "line 3", 0, (NORM[0], "    eps = 1", NORM[2])),
        ("Norm:\n    eps", "RMS:\n    e", "lines 2..3", 0, ("class RMS:", "    e = 1e-5", NORM[2])),
        ("    eps = 1e-5\r\n", "", "line 3", 0, (NORM[0], NORM[2])),
        ("        return aaaa\n", "        return 2", "line 7", 1, (FUNCTION[0], "        return 2")),
        ("    def f(self, aaaa):\n        return aaaa\n", "", "lines 6..7", 1, ()),
        ("return ", "x\n\ny ", "line 7", 1, (FUNCTION[0], "        x", "", "y aaaa")),
    ],
)
def test_str_replace(code: Document, old: str, new: str, where: str, index: int, lines: tuple[str, ...]) -> None:
    applied = apply(code, StrReplace(old, new), max_bytes=CAP)
    assert applied.what == f"Replaced old_str at {where}"
    assert applied.document.editable_texts()[index] == lines
    assert applied.document.editable_texts()[1 - index] == code.editable_texts()[1 - index]
    assert applied.document.fixed == code.fixed


@pytest.mark.parametrize(
    ("old", "new", "code_", "fragment"),
    [
        ("", "x", "empty_old_str", "old_str is empty."),
        ("nowhere", "x", "not_found", "does not occur in the file"),
        ("import math", "x", "not_found", "occurs only at line 1, which is not all inside one editable range"),
        ("import math\nclass", "x", "not_found", "occurs only at lines 1..2, which are not all inside one editable"),
        ("1e-5\n\n    def", "x", "not_found", "occurs only at lines 4..6, which are not all inside one editable"),
        ("1e-5", "x", "not_unique", "occurs 2 times in the editable range, at lines 3, 4; it must occur exactly once"),
        ("aaa", "x", "not_unique", "occurs 4 times in the editable range, at lines 6, 6, 7, 7;"),
        ("e", "x", "not_unique", "occurs 7 times in the editable range, at lines 3, 3, 4, 4, 6, 6, 7;"),
        (" ", "x", "not_unique", "occurs more than 10 times in the editable range, at lines 2, 3, 3,"),
        ("Norm", "Norm", "no_change", "would change nothing"),
        ("aaaa\n        return aaaa\n", "aaaa\r\n        return aaaa", "not_found", "does not occur"),
    ],
)
def test_str_replace_refusals(code: Document, old: str, new: str, code_: str, fragment: str) -> None:
    refusal = refused(code, StrReplace(old, new))
    assert refusal.code == code_
    assert fragment in refusal.message
    assert ("You may only edit lines 2–4, 6–7." in refusal.message) == (code_ == "not_found")


def test_inserting_nothing_is_refused(one: Document) -> None:
    assert refused(one, Insert(3, "")).code == "no_change"


def test_str_replace_in_a_large_repetitive_file_is_quick_to_refuse() -> None:
    document = Document.created("f.py", "a" * 60000)
    assert "more than 10 times" in refused(document, StrReplace("a" * 30000, "b")).message


def test_baselines_files_and_agents_calls_have_the_same_operations() -> None:
    assert OPERATIONS == EDIT_KEYS
