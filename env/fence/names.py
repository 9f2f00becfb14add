"""Which names a statement's header binds and reads, by Python's scoping rules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from env.fence.outline import SCOPES, Syntax, header

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def bound(syntax: Syntax) -> Iterator[str]:
    """Names bound, or deleted, in the scope the statement stands in; not those of a comprehension or a lambda."""
    if isinstance(syntax, SCOPES):
        yield syntax.name
    if isinstance(syntax, ast.ExceptHandler) and syntax.name:
        yield syntax.name
    yield from imported(syntax)
    stack = _expressions(syntax)
    while stack:
        node = stack.pop()
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                yield name
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
                yield name
        match node:
            case ast.Lambda():
                stack.append(node.args)
            case ast.comprehension():
                stack.extend((node.iter, *node.ifs))
            case _:
                stack.extend(ast.iter_child_nodes(node))


def read(syntax: Syntax) -> Iterator[str]:
    """Names looked up where the statement stands, inside lambdas and comprehensions too."""
    stack = [(node, frozenset[str]()) for node in _expressions(syntax)]
    while stack:
        node, hidden = stack.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in hidden:
            yield node.id
        if isinstance(node, ast.Lambda):
            hidden |= parameters(node)
        if isinstance(node, _COMPREHENSIONS):
            targets = (name for generator in node.generators for name in ast.walk(generator.target))
            hidden |= {name.id for name in targets if isinstance(name, ast.Name)}
        stack.extend((child, hidden) for child in ast.iter_child_nodes(node))


def attributes(syntax: Syntax) -> Iterator[ast.Attribute]:
    """The attributes read or written in the statement's header."""
    for expression in _expressions(syntax):
        for node in ast.walk(expression):
            if isinstance(node, ast.Attribute):
                yield node


def parameters(syntax: Syntax | ast.Lambda) -> set[str]:
    """The parameters of a function; none for any other statement."""
    if not isinstance(syntax, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return set()
    arguments = syntax.args
    named = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    return {argument.arg for argument in (*named, arguments.vararg, arguments.kwarg) if argument is not None}


def imported(syntax: Syntax) -> dict[str, str]:
    """Name to the dotted path of what an import statement binds it to: equal paths are the same object."""
    match syntax:
        case ast.Import(names=aliases):
            first = (alias.name.partition(".")[0] for alias in aliases)
            return {a.asname or name: a.name if a.asname else name for a, name in zip(aliases, first, strict=True)}
        case ast.ImportFrom(names=aliases, level=level):
            module = "." * (level or 0) + (syntax.module or "")
            return {a.asname or a.name: f"{module}.{a.name}" for a in aliases}
    return {}


def _expressions(syntax: Syntax) -> list[ast.AST]:
    values: list[Any] = [value for _, value in header(syntax)]
    flat = (item for value in values for item in (value if isinstance(value, list) else (value,)))
    return [item for item in flat if isinstance(item, ast.AST)]
