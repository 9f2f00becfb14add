"""From an edit call's arguments to the files as they are after it."""

from __future__ import annotations

from dataclasses import dataclass

from env.document import OPERATIONS, Document, Op, Seen, apply
from env.document import operation as operation_named
from env.service.live import LiveSession
from env.service.workspace import Workspace
from ringfence.api.arguments import EditArguments
from ringfence.api.refusal import Kind, Refusal

_CREATE = "create"
_NEEDS = {**OPERATIONS, _CREATE: ("filename", "content")}

_UNCHANGED = "\n\n[NOTE] This changed nothing: the file held these lines already."
"""Of an edit by line numbers. It is no refusal: recorded agents write a range anew as it is, and are told OK."""


@dataclass(frozen=True)
class Done:
    """What an edit came to."""

    workspace: Workspace
    document: Document
    """The file that was edited."""
    what: str
    """In words, with the file's name."""
    note: str = ""
    """What its agent should know besides; begins with blank lines."""


def carry_out(arguments: EditArguments, live: LiveSession) -> Done:
    """The files after the edit. Raises Refusal, EditRefused. What the answer will show counts as seen from now on."""
    task, op = live.session.task, operation(arguments)
    if op is None:
        if not task.allow_create:
            allowed = ", ".join(live.workspace.documents)
            told = f"op=create is not allowed in this task. You may only edit {allowed}."
            raise Refusal(Kind.FORBIDDEN, "create_not_allowed", told)
        workspace = live.workspace.with_created(arguments.filename or "", arguments.content or "", task.max_file_bytes)
        document = list(workspace.documents.values())[-1]
        live.seen[document.filename] = Seen(document)
        return Done(workspace, document, f"Created {document.filename} with {document.total_lines} line(s)")
    before = live.workspace.document(arguments.filename)
    applied = apply(before, op, max_bytes=task.max_file_bytes)
    document, seen = applied.document, live.seen[before.filename]
    note = seen.doubt(before, applied) if document.editable != before.editable else _UNCHANGED
    seen.show_excerpt(document)
    return Done(live.workspace.with_document(document), document, f"{applied.what} in {document.filename}", note)


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
    """The operation whose arguments these are. Models often leave `op` out, and some fill in all the others."""
    given = {name for names in OPERATIONS.values() for name in names if getattr(arguments, name) is not None}
    if not arguments.old_str:
        given -= {"old_str"} if arguments.new_str else {"old_str", "new_str"}
    possible = [op for op, names in OPERATIONS.items() if given <= set(names)] if given - {"content"} else []
    if len(possible) == 1:
        return possible[0]
    *others, last = (f"{op} ({', '.join(names)})" for op, names in _NEEDS.items())
    raise Refusal(Kind.INVALID, "missing_op", f"edit needs op: {', '.join(others)} or {last}.")
