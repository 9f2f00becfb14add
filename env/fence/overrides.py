"""CONFIG_OVERRIDES: the settings an agent may choose, and no others."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from env.fence.outline import Outline
from env.fence.override_values import problem_of
from env.fence.template import OVERRIDES, Template
from env.fence.violation import FenceViolation


def check_overrides(template: Template, edited: Outline, allowed: Sequence[str]) -> None:
    """Raises FenceViolation (overrides). A value that is computed is left to the script's own check."""
    owner = next((range_ for (_, name), range_ in template.relies.owners.items() if name == OVERRIDES), None)
    if owner is None or not allowed:
        return
    values = list(_values(edited, owner))
    if not values:
        start, end = edited.document.ranges[owner]
        raise FenceViolation(
            "overrides",
            start,
            f"{OVERRIDES} must be assigned in the editable range {start}–{end}; `{{}}` sets nothing.",
        )
    for value in values:
        _check_items(value, allowed)


def _values(edited: Outline, owner: int) -> Iterator[ast.expr]:
    for node in edited.nodes:
        if node.owner != owner:
            continue
        match node.syntax:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name == OVERRIDES:
                yield value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if name == OVERRIDES:
                yield value


def _check_items(value: ast.expr, allowed: Sequence[str]) -> None:
    seen: set[str] = set()
    for key, given, line in _items(value):
        problem = None
        if key is None:
            problem = "every key must be written out as a string"
        elif key not in allowed:
            problem = f"unknown key {key[:80]!r}"
        elif key in seen:
            problem = f"key {key!r} is given twice"
        if problem is not None:
            keys = ", ".join(allowed)
            raise FenceViolation("overrides", line, f"Line {line}: {OVERRIDES}: {problem}. Allowed keys: {keys}.")
        assert key is not None
        if (nonsense := problem_of(key, given)) is not None:
            raise FenceViolation("overrides", line, f"Line {line}: {OVERRIDES}: {nonsense}.")
        seen.add(key)


def _items(value: ast.expr) -> Iterator[tuple[str | None, ast.expr | None, int]]:
    """Key, value and line of each item of a dict display or a call of dict; None for what is not plain to see."""
    match value:
        case ast.Dict(keys=keys):
            for key, item in zip(keys, value.values, strict=True):
                match key:
                    case ast.Constant(value=str(name)):
                        yield name, item, key.lineno
                    case _:
                        yield None, None, item.lineno
        case ast.Call(func=ast.Name(id="dict"), args=args, keywords=keywords):
            yield from ((None, None, argument.lineno) for argument in args)
            yield from ((keyword.arg, keyword.value, keyword.value.lineno) for keyword in keywords)
