import difflib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from templates.diff import PatchError, apply_diff

BASE = "one\ntwo\nthree\nfour\nfive\nsix\n"
HEAD = "--- base\n+++ new\n"


def test_lines_are_replaced_added_and_removed() -> None:
    diff = HEAD + "@@ -1,3 +1,4 @@\n one\n-two\n+TWO\n+and a half\n three\n@@ -5,2 +6,1 @@ five\n-five\n six\n"
    assert apply_diff(BASE, diff) == "one\nTWO\nand a half\nthree\nfour\nsix\n"


@pytest.mark.parametrize(
    ("diff", "hunk", "line", "message"),
    [
        ("", 0, 1, "expected the lines --- and"),
        ("@@ -1 +1 @@\n-one\n+ONE\n", 0, 1, "expected the lines --- and"),
        (HEAD + "@@ -1 +1 @@\n-one\n+ONE", 0, 5, "does not end in a newline"),
        (HEAD + "@@ one @@\n", 1, 3, "expected a hunk header"),
        (HEAD + "@@ -1,2 +1,2 @@\n-one\n+ONE\n", 1, 6, "ends 1 old and 1 new lines early"),
        (HEAD + "@@ -1 +1 @@\n-one\n+ONE\n two\n", 2, 6, "expected a hunk header"),
        (HEAD + "@@ -1,2 +1,1 @@\n one\n two\n", 1, 5, "has more lines than its header says"),
        (HEAD + "@@ -1,2 +1,2 @@\n-one\n+ONE\n tow\n", 1, 6, "expects 'tow' at base line 2, not 'two'"),
        (HEAD + "@@ -1,2 +1,2 @@\n-one\n+ONE\n two \n", 1, 6, "expects 'two ' at base line 2"),
        (HEAD + "@@ -2 +2 @@\n-one\n+ONE\n", 1, 4, "expects 'one' at base line 2"),  # one line off: no searching
        (HEAD + "@@ -6,2 +6,2 @@\n six\n-seven\n+7\n", 1, 5, "at base line 7, not None"),
        (HEAD + "@@ -9 +9 @@\n-nine\n+9\n", 1, 3, "past the end"),
        (HEAD + "@@ -3 +3 @@\n-three\n+3\n@@ -1 +1 @@\n-one\n+1\n", 2, 6, "out of order"),
        (HEAD + "@@ -1 +2 @@\n-one\n+ONE\n", 1, 3, "says it makes line 2, not 1"),
        (HEAD + "@@ -6 +6 @@\n-six\n+6\n\\ No newline at end of file\n", 2, 6, "expected a hunk header"),
    ],
)
def test_what_does_not_fit_exactly_is_refused(diff: str, hunk: int, line: int, message: str) -> None:
    with pytest.raises(PatchError) as caught:
        apply_diff(BASE, diff)
    assert message in caught.value.message
    assert (caught.value.hunk, caught.value.line) == (hunk, line)


few_lines = st.lists(st.sampled_from(["", "a", "b", " a", "- a", "+ a", "@@ -1 +1 @@"]), max_size=12)


@given(old=few_lines, new=few_lines, context=st.integers(0, 3))
def test_a_diff_makes_the_text_it_was_made_from(old: list[str], new: list[str], context: int) -> None:
    diff = list(difflib.unified_diff(old, new, "old", "new", n=context, lineterm=""))
    if diff:
        assert apply_diff("".join(f"{x}\n" for x in old), "\n".join([*diff, ""])) == "".join(f"{x}\n" for x in new)
