"""The names a script's fixed code relies on, and those that its editable ranges own."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from env.fence.names import attributes, bound, imported, parameters, read
from env.fence.outline import MODULE, Node, Outline

Uses = dict[str, int]
"""Name to the number, among the fixed lines, of the first line that uses it."""


def _by_scope() -> dict[int, Uses]:
    return defaultdict(dict)


@dataclass(frozen=True)
class Reliance:
    """All by scope: the number of a function or class among the fixed statements, or MODULE."""

    owners: dict[tuple[int, str], int] = field(default_factory=dict)
    """Scope and name to the editable range that binds it there."""
    bindings: dict[int, Uses] = field(default_factory=_by_scope)
    """What fixed code binds in the scope, parameters included."""
    reads: dict[int, Uses] = field(default_factory=_by_scope)
    """What fixed code reads in a function, or directly in a class."""
    global_reads: dict[int, Uses] = field(default_factory=_by_scope)
    """Those of them that are globals or builtins; under MODULE those of the whole file."""
    members: dict[int, Uses] = field(default_factory=_by_scope)
    """Every `self.name` in a class's fixed code."""
    attributes: Uses = field(default_factory=dict)
    """Every `.name` in fixed code."""
    imports: set[tuple[str, str]] = field(default_factory=set)
    """Name and origin of what fixed code imports at the top level."""


def reliance(outline: Outline) -> Reliance:
    """What the fixed code of an original script relies on."""
    relies = Reliance()
    local = _locals(outline)
    for position, node in enumerate(outline.nodes):
        for scope, name in _bindings(outline, position):
            if node.owner is None:
                relies.bindings[scope].setdefault(name, _line(outline, node))
            else:
                relies.owners[scope, name] = node.owner
        if node.owner is None:
            _add_reads(relies, outline, position, local)
    return relies


def _add_reads(relies: Reliance, outline: Outline, position: int, local: dict[int, set[str]]) -> None:
    node, line = outline.nodes[position], _line(outline, outline.nodes[position])
    scopes = list(outline.around(position))
    # The names of a class are seen by its own statements, not by the code inside its methods.
    seeing = [s for s in scopes if s == scopes[0] or not isinstance(outline.nodes[s].syntax, ast.ClassDef)]
    for name in read(node.syntax):
        is_global = not any(name in local[scope] for scope in seeing)
        for scope in seeing:
            relies.reads[outline.fixed[scope]].setdefault(name, line)
            if is_global:
                relies.global_reads[outline.fixed[scope]].setdefault(name, line)
        if is_global:
            relies.global_reads[MODULE].setdefault(name, line)
    for attribute in attributes(node.syntax):
        relies.attributes.setdefault(attribute.attr, line)
        if isinstance(attribute.value, ast.Name) and attribute.value.id == "self":
            for scope in scopes:
                relies.members[outline.fixed[scope]].setdefault(attribute.attr, line)
    if not scopes:
        relies.imports.update(imported(node.syntax).items())


def _bindings(outline: Outline, position: int) -> Iterator[tuple[int, str]]:
    """Number of each fixed scope in which the statement binds a name, and the name."""
    syntax = outline.nodes[position].syntax
    if isinstance(syntax, ast.Global):
        yield from ((MODULE, name) for name in syntax.names)
    around, own = outline.fixed.get(outline.scopes[position]), outline.fixed.get(position)
    if around is not None:
        yield from ((around, name) for name in bound(syntax))
    if own is not None:
        yield from ((own, name) for name in parameters(syntax))


def _locals(outline: Outline) -> dict[int, set[str]]:
    """Position of each function and class to the names that are its own."""
    names: dict[int, set[str]] = defaultdict(set)
    declared: dict[int, set[str]] = defaultdict(set)
    for position, (node, scope) in enumerate(zip(outline.nodes, outline.scopes, strict=True)):
        names[scope].update(bound(node.syntax))
        names[position].update(parameters(node.syntax))
        if isinstance(node.syntax, ast.Global):
            declared[scope].update(node.syntax.names)
    return {scope: own - declared[scope] for scope, own in names.items()}


def _line(outline: Outline, node: Node) -> int:
    return outline.fixed_line_numbers[node.first]
