"""A script as nested statements, each knowing where it stands and whether it begins in an editable range."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from env.document import Document

MODULE = -1
"""Stands for the file itself wherever the position of a statement is expected."""

# The fields of a statement that hold statements, or clauses that do, in the order of the source.
_BLOCKS = ("body", "handlers", "cases", "orelse", "finalbody")
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)

Syntax = ast.stmt | ast.ExceptHandler | ast.match_case
Slot = tuple[int, str]
"""Where a statement stands: the number of the fixed statement around it, or MODULE, and which of its blocks."""


@dataclass(frozen=True)
class Node:
    """A statement, or a clause (`except`, `case`) that holds statements."""

    syntax: Syntax
    first: int
    """Line of its first decorator, or its own."""
    last: int
    owner: int | None
    """Index of the editable range it begins in; None when it is fixed."""
    parent: int
    """Position in the outline, or MODULE."""
    block: str
    """Field of the parent it stands in."""


class Outline:
    """The statements of a document in source order."""

    def __init__(self, document: Document, tree: ast.Module) -> None:
        self.document = document
        self._owners: list[int | None] = [None] * (document.total_lines + 1)
        for index, (start, end) in enumerate(document.ranges):
            self._owners[start : end + 1] = [index] * (end + 1 - start)
        self.fixed_lines = [line for line in range(1, document.total_lines + 1) if self._owners[line] is None]
        """Line numbers of the fixed lines: the n-th fixed line has the same text in every state of a document."""
        self.nodes = tuple(self._walk(tree))

    def _walk(self, tree: ast.Module) -> Iterator[Node]:
        stack = _children(tree, MODULE)
        position = 0
        while stack:
            syntax, parent, block = stack.pop()
            first, last = _extent(syntax)
            yield Node(syntax, first, last, self._owners[first], parent, block)
            stack.extend(_children(syntax, position))
            position += 1

    @cached_property
    def fixed(self) -> dict[int, int]:
        """Position of each fixed statement to its number among them, which no edit changes."""
        positions = (position for position, node in enumerate(self.nodes) if node.owner is None)
        return {position: number for number, position in enumerate(positions)} | {MODULE: MODULE}

    @cached_property
    def scopes(self) -> tuple[int, ...]:
        """Of each statement, the position of the function or class it stands in, or MODULE."""
        scopes: list[int] = []
        for node in self.nodes:  # parents come before their children
            outer = node.parent == MODULE or isinstance(self.nodes[node.parent].syntax, SCOPES)
            scopes.append(node.parent if outer else scopes[node.parent])
        return tuple(scopes)

    @cached_property
    def fixed_line_numbers(self) -> dict[int, int]:
        """Line number to the line's number among the fixed ones."""
        return {line: number for number, line in enumerate(self.fixed_lines)}

    def owner(self, line: int) -> int | None:
        """Index of the editable range a line is in; None when it is fixed."""
        return self._owners[line]

    def around(self, position: int) -> Iterator[int]:
        """Positions of the functions and classes around a statement, innermost first."""
        scope = self.scopes[position]
        while scope != MODULE:
            yield scope
            scope = self.scopes[scope]

    def slot(self, node: Node) -> Slot | None:
        """Where the statement stands; None when that is inside an editable statement."""
        parent = self.fixed.get(node.parent)
        return None if parent is None else (parent, node.block)


def header(syntax: ast.AST) -> Iterator[tuple[str, Any]]:
    """The fields of a statement apart from its blocks."""
    for name, value in ast.iter_fields(syntax):
        if not (name in _BLOCKS and isinstance(value, list)):
            yield name, value


def fingerprint(syntax: Syntax) -> tuple[object, ...]:
    """Equal for two statements whose headers mean the same, wherever they stand. Not recursive: depth is no limit."""
    marks: list[object] = []
    stack: list[Any] = [syntax]
    while stack:
        item = stack.pop()
        if isinstance(item, ast.AST):
            marks.append(type(item))
            stack.extend(value for _, value in header(item))
        elif isinstance(item, list):
            marks.append(len(item))
            stack.extend(item)
        else:
            marks.append((type(item), item))
    return tuple(marks)


def _children(syntax: ast.AST, position: int) -> list[tuple[Syntax, int, str]]:
    """The statements directly inside, last first, as a stack wants them."""
    blocks = ((name, getattr(syntax, name, ())) for name in _BLOCKS)
    return [(child, position, name) for name, block in blocks for child in block][::-1]


def _extent(syntax: Syntax) -> tuple[int, int]:
    if isinstance(syntax, ast.match_case):
        return syntax.pattern.lineno, syntax.body[-1].end_lineno or 0
    first = syntax.lineno
    for decorator in getattr(syntax, "decorator_list", ()):
        first = min(first, decorator.lineno)
    return first, syntax.end_lineno or first
