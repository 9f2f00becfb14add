"""From an edit call's arguments to one operation on a file."""

from __future__ import annotations

from env.api.arguments import EditArguments
from env.api.refusal import Kind, Refusal
from env.document import Insert, Op, Replace, StrReplace

_NEEDS = {
    "replace": ("start_line", "end_line", "content"),
    "insert": ("after_line", "content"),
    "str_replace": ("old_str", "new_str"),
    "create": ("filename", "content"),
}


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
    match op:
        case "replace":
            assert arguments.start_line is not None
            assert arguments.end_line is not None
            return Replace(arguments.start_line, arguments.end_line, arguments.content or "")
        case "insert":
            assert arguments.after_line is not None
            return Insert(arguments.after_line, arguments.content or "")
        case "str_replace":
            return StrReplace(arguments.old_str or "", arguments.new_str or "")
        case _:
            return None


def _implied(arguments: EditArguments) -> str:
    """Recorded agents leave `op` out when they give line numbers."""
    if arguments.start_line is not None and arguments.end_line is not None:
        return "replace"
    raise Refusal(
        Kind.INVALID,
        "missing_op",
        "edit needs op: replace (start_line, end_line, content), insert (after_line, content), "
        "str_replace (old_str, new_str) or create (filename, content).",
    )
