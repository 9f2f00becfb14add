"""Names of fixed code that an editable range may bind all the same: fixed code binds them anew before it reads them."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from env.fence.names import bound, read
from env.fence.outline import SCOPES, Outline, Slot, Syntax, header

_BINDING = (ast.Assign, ast.AnnAssign, ast.With, ast.AsyncWith, ast.Import, ast.ImportFrom, *SCOPES)
"""Statements that have bound their names when the next one begins."""
_LOOPS = (ast.For, ast.AsyncFor)
"""These have bound theirs where their bodies begin, which may never be."""


def rebound(outline: Outline, scope: int, owner: int) -> frozenset[str]:
    """Locals of a fixed function that no fixed code reads as a range left them.

    `scope` is the function's position in the outline of the original script, `owner` the range. Code of the function
    that runs more than once, with the range in a loop, leaves no such name.
    """
    own = [position for position, node in enumerate(outline.nodes) if node.owner == owner]
    if not own or outline.nodes[own[0]].parent != scope:
        return frozenset()
    later = [p for p in _inside(outline, scope) if p > own[-1] and outline.nodes[p].owner is None]
    places: dict[str, set[tuple[int, Slot]]] = {}
    """Where each name is bound for certain: after which position, for what stands in which block."""
    unsafe: set[str] = set()
    for position in later:
        for name in _reads(outline, position):
            chain = set(_blocks(outline, position))
            if not any(at < position and block in chain for at, block in places.get(name, ())):
                unsafe.add(name)
        for name, block in _binds(outline, position):
            places.setdefault(name, set()).add((position, block))
    return frozenset(places) - unsafe


def _inside(outline: Outline, scope: int) -> Iterator[int]:
    """Positions of all statements in a function, those of functions inside it too."""
    return (position for position in range(len(outline.nodes)) if scope in outline.around(position))


def _reads(outline: Outline, position: int) -> Iterator[str]:
    syntax = outline.nodes[position].syntax
    yield from read(syntax)
    if isinstance(syntax, ast.AugAssign | ast.Delete | ast.Global | ast.Nonlocal):
        yield from getattr(syntax, "names", ())
        yield from bound(syntax)


def _binds(outline: Outline, position: int) -> Iterator[tuple[str, Slot]]:
    """The names that a statement binds for certain, and the block in which they are bound from then on."""
    node = outline.nodes[position]
    if isinstance(node.syntax, ast.AnnAssign) and node.syntax.value is None:
        return
    if isinstance(node.syntax, _LOOPS):
        target = (name for name in ast.walk(node.syntax.target) if isinstance(name, ast.Name))
        yield from ((name.id, (position, "body")) for name in target)
    elif isinstance(node.syntax, _BINDING):
        perhaps = _walruses(node.syntax)
        yield from ((name, (node.parent, node.block)) for name in bound(node.syntax) if name not in perhaps)


def _walruses(syntax: Syntax) -> set[str]:
    """Names bound inside expressions, of which not every part need be evaluated."""
    fields = [value if isinstance(value, list) else [value] for _, value in header(syntax)]
    nodes = (node for field in fields for item in field if isinstance(item, ast.AST) for node in ast.walk(item))
    return {node.target.id for node in nodes if isinstance(node, ast.NamedExpr)}


def _blocks(outline: Outline, position: int) -> Iterator[Slot]:
    """The blocks a statement stands in, innermost first, by the position of the statement that has them."""
    while position >= 0:
        node = outline.nodes[position]
        yield node.parent, node.block
        position = node.parent
