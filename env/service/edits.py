"""From an edit call's arguments to one operation on a file."""

from __future__ import annotations

from env.api.arguments import EditArguments
from env.api.refusal import Kind, Refusal
from env.document import OPERATIONS, Op
from env.document import operation as operation_named

_CREATE = "create"
_NEEDS = {**OPERATIONS, _CREATE: ("filename", "content")}


def operation(arguments: EditArguments) -> Op | None:
    """The operation asked for; None for `create`, which is about a file that is not there yet. Raises Refusal."""
    op = arguments.op or _implied(arguments)
    missing = [name for name in _NEEDS[op] if getattr(arguments, name) is None]
    if missing:
        raise Refusal(
            Kind.INVALID,
            "missing_argument",
            f"op={op} needs {', '.join(_NEEDS[op])}. Missing: {', '.join(missing)}.",
        )
    return None if op == _CREATE else operation_named(op, vars(arguments))


def _implied(arguments: EditArguments) -> str:
    """Recorded agents leave `op` out when they give line numbers."""
    if arguments.start_line is not None and arguments.end_line is not None:
        return "replace"
    *others, last = (f"{op} ({', '.join(names)})" for op, names in _NEEDS.items())
    raise Refusal(Kind.INVALID, "missing_op", f"edit needs op: {', '.join(others)} or {last}.")
