"""Editable code leaves the names alone that fixed code relies on, and keeps those that it owes."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from env.fence.names import bound, imported
from env.fence.outline import MODULE, Node, Outline
from env.fence.reliance import Uses
from env.fence.template import OVERRIDES, Template
from env.fence.violation import FenceViolation, quoted


def check_bindings(template: Template, edited: Outline) -> None:
    """Raises FenceViolation (binding, missing)."""
    kept = set()
    for node, scope, name in _bindings(edited):
        if node.owner is not None:
            kept.add((scope, name))
            _check_binding(template, edited, node, scope, name)
    _check_kept(template, edited, kept)


def _bindings(edited: Outline) -> Iterator[tuple[Node, int, str]]:
    """Each name a statement binds in a fixed scope: the statement, the number of the scope, the name."""
    for position, (node, scope) in enumerate(zip(edited.nodes, edited.scopes, strict=True)):
        if isinstance(node.syntax, ast.Global):
            yield from ((node, MODULE, name) for name in node.syntax.names)
        if isinstance(node.syntax, ast.Nonlocal):
            outer = next((edited.fixed[s] for s in edited.around(position) if s in edited.fixed), MODULE)
            yield from ((node, outer, name) for name in node.syntax.names)
        if scope in edited.fixed:
            yield from ((node, edited.fixed[scope], name) for name in bound(node.syntax))


def _check_binding(template: Template, edited: Outline, node: Node, scope: int, name: str) -> None:
    owner = node.owner
    assert owner is not None
    relies = template.relies
    if (scope, name) in relies.owners or (name, imported(node.syntax).get(name)) in relies.imports:
        return
    where = quoted(edited.document, node.first)
    if name == "*":
        raise FenceViolation("binding", node.first, f"In {where}: import the names that you need one by one.")
    if not _is_function(template, scope) and name.startswith("__") and name.endswith("__"):
        raise FenceViolation("binding", node.first, f"In {where}: {name} is Python's own and can't be set here.")
    used = _protected(template, owner, scope).get(name)
    later = isinstance(node.syntax, ast.Nonlocal)  # bound whenever the function that says so is called
    if used is not None and (later or not _bound_anew(template, owner, scope, name)):
        fixed = quoted(edited.document, edited.fixed_lines[used])
        raise FenceViolation(
            "binding",
            node.first,
            f"In {where}: `{name}` belongs to the fixed code, see {fixed}. Choose another name.",
        )


def _protected(template: Template, owner: int, scope: int) -> Uses:
    """The names that statements of a range may not bind in a scope."""
    relies = template.relies
    if scope == MODULE:
        return relies.global_reads[MODULE] | relies.bindings[MODULE]
    if not _is_function(template, scope):
        return relies.reads[scope] | relies.members[scope] | relies.bindings[scope]
    if relies.owners.get((scope, OVERRIDES)) == owner:
        return relies.reads[scope] | relies.bindings[scope]
    # Locals are there to be bound again: `x = block(x)`.
    return relies.global_reads[scope]


def _bound_anew(template: Template, owner: int, scope: int, name: str) -> bool:
    """Whether fixed code reads the name only after it has bound it once more, behind the range."""
    return template.relies.owners.get((scope, OVERRIDES)) == owner and name in template.rebound


def _is_function(template: Template, scope: int) -> bool:
    if scope == MODULE:
        return False
    [position] = [p for p, number in template.outline.fixed.items() if number == scope]
    return not isinstance(template.outline.nodes[position].syntax, ast.ClassDef)


def _check_kept(template: Template, edited: Outline, kept: set[tuple[int, str]]) -> None:
    relies = template.relies
    for (scope, name), owner in relies.owners.items():
        if scope != MODULE and _is_function(template, scope):
            continue
        used = (relies.global_reads[MODULE] if scope == MODULE else relies.attributes).get(name)
        if used is not None and (scope, name) not in kept:
            start, end = edited.document.ranges[owner]
            line = edited.fixed_lines[used]
            raise FenceViolation(
                "missing",
                start,
                f"{name} is used by fixed code at {quoted(edited.document, line)} and must stay defined in the "
                f"editable range {start}–{end}.",
            )
