"""Characters that nobody would see do not get into a file."""

from __future__ import annotations

import unicodedata

import pytest

from env.document import Document, EditRefused, Replace, StrReplace, apply
from env.document.content import invisible
from leaderboard.pages.render import visible
from runner.text import readable

KINDS = {
    "tag": "\U000e0041",
    "language tag": "\U000e0001",
    "zero width space": "\u200b",
    "zero width joiner": "\u200d",
    "word joiner": "\u2060",
    "variation selector": "\ufe0f",
    "variation selector supplement": "\U000e0100",
    "mongolian vowel separator": "\u180e",
    "hangul filler": "\u3164",
    "halfwidth hangul filler": "\uffa0",
    "khmer inherent vowel": "\u17b4",
    "combining grapheme joiner": "\u034f",
    "blank braille pattern": "\u2800",
    "soft hyphen": "\u00ad",
    "invisible times": "\u2062",
    "deprecated shaping": "\u206d",
    "right-to-left override": "\u202e",
    "isolate": "\u2066",
    "byte order mark": "\ufeff",
    "interlinear annotation": "\ufff9",
    "null notehead": "\U0001d159",
    "beam": "\U0001d173",
    "private use": "\ue000",
    "noncharacter": "\ufdd0",
    "no-break space": "\u00a0",
    "ideographic space": "\u3000",
    "line separator": "\u2028",
    "next line": "\u0085",
}


@pytest.fixture
def document() -> Document:
    return Document.open("pkg/file.py", "one\ntwo\nthree\n", [(2, 2)])


@pytest.mark.parametrize("character", KINDS.values(), ids=KINDS.keys())
def test_it_is_refused_with_its_line_and_name(document: Document, character: str) -> None:
    for op in (Replace(2, 2, f"ok\nx = 1  #{character}"), StrReplace("two", f"ok\nx = 1  #{character}")):
        with pytest.raises(EditRefused) as caught:
            apply(document, op, max_bytes=100)
        assert caught.value.code == "bad_content"
        assert f"Line 2 of {'content' if isinstance(op, Replace) else 'new_str'} has U+" in caught.value.message
        assert f"U+{ord(character):04X} (" in caught.value.message


@pytest.mark.parametrize("text", ["naïve", "日本語", "Δ ≤ ε", "── Block ──", "e\u0301", "🙂", "a\tb", "ħ∂∇"])
def test_what_is_seen_is_accepted(document: Document, text: str) -> None:
    assert apply(document, Replace(2, 2, text), max_bytes=100).document.text == f"one\n{text}\nthree\n"


def test_every_default_ignorable_format_and_blank_is_among_them() -> None:
    formats = [chr(n) for n in range(0x110000) if unicodedata.category(chr(n)) in ("Cf", "Zs", "Zl", "Zp", "Cc")]
    assert [one for one in formats if not invisible(one)] == ["\t", "\n", " "]


def test_output_and_pages_hide_and_show_the_same_characters() -> None:
    """What cannot get into a file does not come out of a run, and is made visible where a page shows an older text."""
    for number in range(0x110000):
        one = chr(number)
        if unicodedata.category(one) == "Zs":
            continue  # other blanks are seen as blanks
        hidden = invisible(one)
        assert (visible(one) != one) == hidden, hex(number)
        if not 0xD800 <= number < 0xE000 and one not in "\r\x1b":  # not in UTF-8; a line's end, an escape's beginning
            assert (readable(f"a{one}b".encode()) != f"a{one}b") == hidden, hex(number)
