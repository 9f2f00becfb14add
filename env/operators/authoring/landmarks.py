"""The named places of a script that a task could open: classes, functions, methods, and CONFIG_OVERRIDES."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence

OVERRIDES = "CONFIG_OVERRIDES"
_Named = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def landmarks(text: str) -> dict[str, tuple[int, int]]:
    """Name (`Block`, `GPT.forward`) to first and last line, 1-based. Empty for what is not Python."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return {}
    lines = text.split("\n")
    found = dict(_definitions(tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == OVERRIDES for t in node.targets):
            found[OVERRIDES] = (_with_comment(lines, node.lineno), node.end_lineno or node.lineno)
    return found


def find_range(text: str, wanted: str) -> tuple[int, int]:
    """The range that `wanted` means: `22-31`, `22` or a landmark's name. Raises ValueError that says what there is."""
    first, _, last = wanted.replace("–", "-").partition("-")
    if first.strip().isdecimal() and (not last or last.strip().isdecimal()):
        return int(first), int(last or first)
    known = landmarks(text)
    if wanted in known:
        return known[wanted]
    raise ValueError(f"{wanted!r} is neither lines, as in 22-31, nor a name in the script. It has: {listed(known)}")


def listed(known: Mapping[str, tuple[int, int]]) -> str:
    """The places as an author reads them: `Block (88-100), GPT.forward (210-240)`."""
    return ", ".join(f"{name} ({first}-{last})" for name, (first, last) in known.items()) or "no names"


def _definitions(body: Sequence[ast.stmt], prefix: str = "") -> Iterator[tuple[str, tuple[int, int]]]:
    for node in body:
        if isinstance(node, _Named):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            yield prefix + node.name, (first, node.end_lineno or node.lineno)
        if isinstance(node, ast.ClassDef) and not prefix:
            yield from _definitions(node.body, f"{node.name}.")


def _with_comment(lines: Sequence[str], line: int) -> int:
    """The first line of the comment that stands right above."""
    while line > 1 and lines[line - 2].lstrip().startswith("#"):
        line -= 1
    return line
