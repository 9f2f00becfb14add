"""Python's own verdict on a file, safe for hostile text of the size an edit may have."""

from __future__ import annotations

import ast
import io
import tokenize
import warnings
from bisect import bisect_left
from itertools import islice
from threading import Lock

from env.document import Document
from env.fence.violation import FenceViolation, quoted

# The compiler writes a `finally` body once per way out of its `try`, nested ones once per copy: 400 bytes can take
# minutes and gigabytes. Counted in nodes of the syntax tree, copies included.
_MOST_COPIED = 200_000

_MOST_NODES = 30_000
"""Of a syntax tree. Dense code has one for every four characters: what has more at 64 kB was made to be slow."""

# The list of warning filters belongs to the process, not to the thread.
_QUIET = Lock()


def parse(document: Document) -> ast.Module:
    """The syntax tree. Raises FenceViolation (encoding, syntax, too_complex)."""
    _check_encoding(document)
    try:
        with _QUIET, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(document.text, document.filename)
            _check_size(tree)
            _check_copies(tree)
            compile(document.text, document.filename, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise _syntax_violation(document, error) from None
    except (RecursionError, MemoryError):
        raise FenceViolation(
            "too_complex", document.ranges[0][0], "The file is nested too deeply for Python to compile. Simplify it."
        ) from None
    except ValueError as error:
        raise FenceViolation("syntax", document.ranges[0][0], f"The file is not valid Python: {error}.") from None
    return tree


def _check_encoding(document: Document) -> None:
    # The text is checked as it is, but a run would decode its bytes as the first two lines say.
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(document.text.encode()).readline)
    except SyntaxError:
        encoding = "unknown"
    if encoding != "utf-8":
        line = 1 if "coding" in document.lines[0] else 2
        raise FenceViolation(
            "encoding", line, f"In {quoted(document, line)}: the file must be UTF-8. Remove the declaration."
        )


def _check_size(tree: ast.Module) -> None:
    if sum(1 for _ in islice(ast.walk(tree), _MOST_NODES + 1)) > _MOST_NODES:
        line = tree.body[0].lineno
        raise FenceViolation(
            "too_complex",
            line,
            f"The file has more than {_MOST_NODES:,} syntax nodes. Write tables as text, or in loops.",
        )


def _check_copies(tree: ast.Module) -> None:
    exits = sorted(n.lineno for n in ast.walk(tree) if isinstance(n, ast.Return | ast.Break | ast.Continue))
    copied = 0
    stack: list[tuple[ast.AST, int]] = [(tree, 1)]
    while stack:
        node, copies = stack.pop()
        if copies > 1:
            copied += copies
            if copied > _MOST_COPIED:
                line = getattr(node, "lineno", 1)
                raise FenceViolation(
                    "too_complex", line, f"Line {line}: `finally` blocks nested like this compile to far too much code."
                )
        children: set[ast.AST] = set(ast.iter_child_nodes(node))
        if isinstance(node, ast.Try | ast.TryStar) and node.finalbody:
            # One copy for the end of the block, one for exceptions, one for each jump out of it.
            jumps = bisect_left(exits, node.finalbody[0].lineno) - bisect_left(exits, node.lineno)
            stack.extend((child, copies * (2 + jumps)) for child in node.finalbody)
            children.difference_update(node.finalbody)
        stack.extend((child, copies) for child in children)


def _syntax_violation(document: Document, error: SyntaxError) -> FenceViolation:
    if not document.total_lines:
        return FenceViolation("syntax", 1, f"The file is not valid Python: {error.msg}.")
    line = min(max(error.lineno or 1, 1), document.total_lines)
    message = f"Syntax error in {quoted(document, line)}: {error.msg}."
    if not any(start <= line <= end for start, end in document.ranges):
        message += (
            " That line is fixed, so an edit before it is the cause: an open bracket or quote, a decorator without "
            "its function, a block without a body, or other indentation."
        )
    return FenceViolation("syntax", line, message)
