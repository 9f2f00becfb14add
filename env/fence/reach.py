"""Editable code does without what a run was started with: the process's environment, and the frames of other code."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from env.fence.outline import Outline, header
from env.fence.violation import FenceViolation, quoted

# As names that are looked up on something: attributes, imports, and strings that are exactly such a name.
_ENVIRONMENT = frozenset({"environ", "environb", "putenv", "unsetenv"})
_FRAMES = frozenset(
    {
        *("_getframe", "_current_frames", "currentframe", "getinnerframes", "getouterframes"),
        *("f_back", "f_builtins", "f_globals", "f_locals", "tb_frame", "ag_frame", "cr_frame", "gi_frame"),
        *("__globals__", "get_objects", "get_referents", "get_referrers"),
    }
)
# Of `inspect` alone: `torch.stack` and `torch.trace` are something else.
_INSPECT = frozenset({"stack", "trace"})

_ALLOWED = "Use its arguments, `self` and the names that the file defines"


def check_reach(original: Outline | None, edited: Outline) -> None:
    """Raises FenceViolation (reach). What a range of the original script reaches for, it may go on to.

    Finds what is written plainly. Names put together at run time pass: env/lifecycle/selfreport.py notes what they do.
    """
    before = {(owner, name) for owner, _, name in _reaches(original)} if original is not None else set()
    for owner, line, name in _reaches(edited):
        if (owner, name) not in before:
            raise FenceViolation("reach", line, f"In {quoted(edited.document, line)}: {_refusal(name)}")


def _refusal(name: str) -> str:
    if name in _ENVIRONMENT:
        return (
            f"`{name}` reaches for the process's environment, which holds the run's settings; they are the same for "
            f"everyone. {_ALLOWED}, and CONFIG_OVERRIDES where there is one; os.getenv reads a variable."
        )
    return f"`{name}` reaches for the variables of other code, which editable code has to leave alone. {_ALLOWED}."


def _reaches(outline: Outline) -> Iterator[tuple[int, int, str]]:
    """Editable range, line and name of everything in editable code that is out of bounds."""
    modules = _names_of_inspect(outline)
    for node in outline.nodes:
        for part in _parts(node.syntax):
            for name in _names(part, modules):
                # Where a fixed expression goes on in a range, that part of it is editable.
                line = min(max(getattr(part, "end_lineno", None) or node.first, node.first), node.last)
                owner = outline.owner(line) if node.owner is None else node.owner
                if owner is not None:
                    yield owner, line, name


def _names(part: ast.AST, modules: frozenset[str]) -> Iterator[str]:
    match part:
        case ast.Attribute(value=ast.Name(id=module), attr=name) if module in modules and name in _INSPECT:
            yield name
        case ast.ImportFrom(module="inspect", names=aliases):
            yield from (alias.name for alias in aliases if alias.name in _INSPECT)
        case ast.Attribute(attr=name) | ast.alias(name=name):
            yield from _ENVIRONMENT & {name} | _FRAMES & {name}
        case ast.Constant(value=str(text)):
            path = text.split(".")  # as `operator.attrgetter` takes it
            if all(map(str.isidentifier, path)):
                yield from sorted((_ENVIRONMENT | _FRAMES).intersection(path))


def _names_of_inspect(outline: Outline) -> frozenset[str]:
    imports = (alias for node in outline.nodes if isinstance(node.syntax, ast.Import) for alias in node.syntax.names)
    return frozenset(alias.asname or alias.name for alias in imports if alias.name == "inspect")


def _parts(syntax: ast.AST) -> Iterator[ast.AST]:
    """A statement and everything in its header; what its blocks hold are statements of their own."""
    yield syntax
    for _, value in header(syntax):
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, ast.AST):
                yield from ast.walk(item)
