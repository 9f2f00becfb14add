"""Files and fences of every other kind that an operator may think of."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from env.document import Document
from env.fence import FenceViolation, check_source, original_is_lintable

Fenced = Callable[..., Document]


def check(original: Document, *lines: str, index: int = 0) -> None:
    check_source(original, original.with_segment(index, lines), override_keys=())


@pytest.mark.parametrize(
    "document",
    [
        Document.open("notes.txt", "any text (\n", [(1, 1)]),
        Document.open("old.py", "print 'two'\n", [(1, 1)]),
        Document.open("odd.py", "x = 1\ry = 2\n", [(1, 1)]),
    ],
)
def test_what_python_cannot_read_is_not_linted(document: Document) -> None:
    assert not original_is_lintable(document)
    check(document, "x = (((", "if")


def test_a_fence_that_cuts_statements_leaves_the_syntax_check(fenced: Fenced) -> None:
    original = fenced("import os\n", "if os.name:\n", "    x = 1\n")
    assert original_is_lintable(original)
    check(original, "while os.name:")
    with pytest.raises(FenceViolation, match="Syntax error in line 2 `while`"):
        check(original, "while")


def test_entries_of_a_list_can_be_edited_and_nothing_else_begun(fenced: Fenced) -> None:
    original = fenced("x = [\n", "    1,\n", "]\nprint(x)\n")
    check(original, "    1, 2,", "    *range(9),")
    check(original)
    for lines in (["]", "x = ["], ["]; print(0)", "y = ["], ["]", "def f(): return ["]):
        with pytest.raises(FenceViolation) as caught:
            check(original, *lines)
        assert caught.value.code in ("boundary", "structure")


def test_text_of_a_docstring_can_be_edited_and_nothing_else_begun(fenced: Fenced) -> None:
    original = fenced('"""\n', "free\n", '"""\nx = 1\n')
    check(original, "any text: (", "def")
    with pytest.raises(FenceViolation, match='What begins in line 4 `"""` swallows fixed line 5'):
        check(original, '"""', "import os", '"""')


def test_the_end_of_an_expression_can_be_edited_and_nothing_begun_after_it(fenced: Fenced) -> None:
    original = fenced("x = 1 + \\\n", "    2\n", "y = 3\n")
    check(original, "    (2", "     * 2)")
    with pytest.raises(FenceViolation, match="lines 2–3 are part of an expression or a string") as caught:
        check(original, "    2", "print(0)")
    assert (caught.value.code, caught.value.line) == ("structure", 3)


def test_a_range_of_blank_lines_stands_where_the_next_fixed_line_does(fenced: Fenced) -> None:
    original = fenced("class A:\n    def f(self):\n        pass\n", "\n", "    def g(self):\n        pass\n")
    check(original, "    def h(self):", "        pass")
    with pytest.raises(FenceViolation, match="stand inside line 1 `class A:`"):
        check(original, "        pass")


def test_a_range_at_the_end_of_a_block_stands_where_its_comment_does(fenced: Fenced) -> None:
    original = fenced("def f():\n    return 1\n", "    # free\n", "\n\ndef g():\n    pass\n")
    check(original, "    x = 1")
    with pytest.raises(FenceViolation, match="stand inside line 1 `def f\\(\\):`"):
        check(original, "x = 1")


def test_whole_branches_in_a_range_may_change(fenced: Fenced) -> None:
    original = fenced("if a:\n    x = 1\n", "else:\n    x = 2\n", "print(x)\n")
    check(original, "else:", "    x = 3")
    check(original, "elif b:", "    x = 4", "else:", "    x = 5")


def test_module_level_settings_follow_the_module_rules(fenced: Fenced) -> None:
    original = fenced("max_iters = 10\n", "CONFIG_OVERRIDES = {}\n", "print(max_iters, CONFIG_OVERRIDES)\n")
    check(original, "warm = max_iters // 2", "CONFIG_OVERRIDES = {'any': warm}")
    with pytest.raises(FenceViolation, match="`max_iters` belongs to the fixed code"):
        check(original, "max_iters = 1", "CONFIG_OVERRIDES = {}")
    with pytest.raises(FenceViolation, match="CONFIG_OVERRIDES is used by fixed code"):
        check(original)


def test_a_fixed_clause_stays_with_its_statement(fenced: Fenced) -> None:
    original = fenced("def f(x):\n    try:\n", "        pass\n", "    except OSError:\n        pass\n    return x\n")
    check(original, "        x = 1", "        x += 1")
    for clause in ("    except KeyError:", "    except:"):
        with pytest.raises(FenceViolation) as caught:
            check(original, "        pass", clause, "        pass")
        assert caught.value.code in ("structure", "syntax")
    match = fenced("match 0:\n    case 0:\n        pass\n", "        pass\n", "    case _:\n        pass\n")
    check(match, "        x = 1")
    with pytest.raises(FenceViolation, match="stand inside line 2 `case 0:`") as caught:
        check(match, "    case 1:", "        pass")
    assert (caught.value.code, caught.value.line) == ("structure", 4)


def test_of_a_created_file_only_the_syntax_is_checked() -> None:
    check_source(None, Document.created("pkg/custom_ops.py", "import torch as print\n"), override_keys=("min_lr",))
    check_source(None, Document.created("pkg/custom_ops.py", ""), override_keys=())
    with pytest.raises(FenceViolation, match="Syntax error in line 2"):
        check_source(None, Document.created("pkg/custom_ops.py", "x = 1\nx = (\n"), override_keys=())
