"""Text made to break the checker: always an answer, and soon."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from env.document import Document, EditRefused, Replace, apply
from env.fence import FenceViolation, check_source

if TYPE_CHECKING:
    from tests.fence.conftest import Script

SIZE = 60_000


def nested_finally(depth: int) -> str:
    blocks = "".join(f"{' ' * n}try:\n{' ' * n} pass\n{' ' * n}finally:\n" for n in range(depth))
    return f"{blocks}{' ' * depth}pass\n"


@pytest.mark.parametrize(
    "text",
    [
        "(" * SIZE,
        "[" * 199 + "]" * 199,
        "x = " + "-" * SIZE + "1",
        "x = a" + ".b" * (SIZE // 2),
        "x = a" + "()" * (SIZE // 2),
        "x = 1" + "+1" * (SIZE // 2),
        "x = 2" + "**2" * (SIZE // 3),
        "x = " + "lambda:" * (SIZE // 7) + "1",
        "x = " + "1 if 1 else " * (SIZE // 12) + "1",
        "x = " + "9" * SIZE,
        "x = 0x" + "f" * SIZE,
        "x = " + "a<" * (SIZE // 2) + "a",
        "if 1: 0\n" + "elif 1: 0\n" * (SIZE // 10),
        "".join(" " * n + "if 1:\n" for n in range(99)) + " " * 99 + "pass",
        "x=" * (SIZE // 2) + "1",
        "@a\n" * (SIZE // 3) + "def f(): pass",
        "a;" * (SIZE // 2),
        "\\\n" * (SIZE // 2) + "a",
        "f'" + "{" * SIZE,
        "match a:\n case " + "1|" * (SIZE // 2) + "1: pass",
        "def f():\n try:\n" + "  if a: return\n" * 2000 + " finally:\n" + "  a\n" * 5000,
        nested_finally(19),
        nested_finally(14) * 80,
    ],
    ids=lambda text: text[:12],
)
@pytest.mark.timeout(10)
def test_hostile_source_gets_an_answer(script: Script, text: str) -> None:
    with pytest.raises(FenceViolation) as caught:
        script.check(norm=text + "\n")  # without LayerNorm, so that what compiles is refused as well
    assert caught.value.line >= 1
    assert len(caught.value.message) < 500


@pytest.mark.parametrize("text", ["a;" * (SIZE // 2), "x = x + 1\n" * (SIZE // 10), "x = [" + "1," * (SIZE // 2) + "]"])
def test_what_is_many_things_is_refused_before_they_are_looked_at(script: Script, text: str) -> None:
    with pytest.raises(FenceViolation, match="more than 30,000 syntax nodes") as caught:
        script.check(norm=text + "\n")
    assert caught.value.code == "too_complex"


@pytest.mark.parametrize("depth", [1, 3])
def test_ordinary_finally_blocks_pass(script: Script, depth: int) -> None:
    script.check(norm="<own>" + nested_finally(depth))


def answers(original: Document, range_: int, text: str) -> bool:
    """Whether the lint lets the text pass in a range; anything but its own refusal is an error of ours."""
    start, end = original.ranges[range_]
    try:
        edited = apply(original, Replace(start, end, text), max_bytes=65536).document
        check_source(original, edited, override_keys=("min_lr",))
    except (EditRefused, FenceViolation) as refusal:
        assert refusal.message  # noqa: PT017
        return False
    return True


STATEMENT = st.sampled_from(
    [
        *("pass", "x = 1", "x = (", ")", '"""', "'''", "\\", "#", "@decorated", "return x", "yield", "x = \\"),
        *("if x:", "else:", "elif x:", "try:", "except OSError as e:", "except* OSError:", "finally:", "while x:"),
        *("for x in x:", "with x as y:", "def f(self):", "async def f():", "class C:", "match x:", "case [x, *y]:"),
        *("case {**z}:", "global print", "nonlocal x", "import math", "from os import *", "del F", "(F := 1)"),
        *("lambda: (yield)", "await x", "CONFIG_OVERRIDES = {}", "CONFIG_OVERRIDES = {**x}", "class LayerNorm: x = 1"),
        *("class Block: pass", "def configure_optimizers(self): pass", "break", "f'{x!r:{y}}'", "x: int", "x[0]: int"),
    ]
)
INDENT = st.sampled_from(["", "    ", "        ", "            ", "\t"])


@given(st.integers(0, 5), st.lists(st.tuples(INDENT, STATEMENT), max_size=5))
@settings(max_examples=150, deadline=None)
def test_random_statements_pass_or_are_refused(script: Script, range_: int, lines: list[tuple[str, str]]) -> None:
    answers(script.original, range_, "".join(f"{indent}{statement}\n" for indent, statement in lines))


@given(st.integers(0, 5), st.text(max_size=40))
@settings(max_examples=50, deadline=None)
def test_random_text_passes_or_is_refused(script: Script, range_: int, text: str) -> None:
    answers(script.original, range_, text)


@given(st.integers(0, 5), st.sampled_from(["\n", "# note\n", "    # note\n", "\n\n\n"]), st.booleans())
@settings(max_examples=30, deadline=None)
def test_blank_and_comment_lines_change_nothing(script: Script, range_: int, addition: str, before: bool) -> None:
    own = "".join(line + "\n" for line in script.original.editable[range_].lines)
    assert answers(script.original, range_, addition + own if before else own + addition)
