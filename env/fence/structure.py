"""Fixed code stays what it was, and editable code stays where its range stands."""

from __future__ import annotations

from env.document import Document
from env.fence.outline import MODULE, Node, Outline, Slot, fingerprint
from env.fence.template import Template
from env.fence.violation import FenceViolation, quoted


def check_structure(template: Template, edited: Outline) -> None:
    """Raises FenceViolation (boundary, structure)."""
    _check_boundaries(template, edited)
    _check_skeleton(template, edited)
    _check_slots(template, edited)


def _check_boundaries(template: Template, edited: Outline) -> None:
    document = edited.document
    for node in edited.nodes:
        if node.owner is None:
            continue
        end = document.ranges[node.owner][1]
        if node.last > end:
            raise _swallowing(document, node.first, end, node.last)
    for (_, end), original in zip(document.ranges, template.outline.document.editable, strict=True):
        line = document.lines[end - 1] if end else ""
        # Joining a blank or comment line shows in no statement. In a comment a backslash joins nothing.
        if line.endswith("\\") and not line.lstrip().startswith("#") and line not in original.lines[-1:]:
            raise _swallowing(document, end, end, end + 1)


def _swallowing(document: Document, first: int, end: int, last: int) -> FenceViolation:
    """For a statement from `first` to `last`, in a range that ends at `end`."""
    last = min(last, document.total_lines)
    swallowed = next((n for n in range(end + 1, last) if document.lines[n - 1].lstrip()[:1] not in ("", "#")), last)
    return FenceViolation(
        "boundary",
        first,
        f"What begins in {quoted(document, first)} swallows fixed {quoted(document, swallowed)}. "
        "A statement that begins in an editable range must end in it.",
    )


def _check_skeleton(template: Template, edited: Outline) -> None:
    before, after = _skeleton(template.outline), _skeleton(edited)
    loose = {node.first for node in _around_expressions(template)}
    for (old_place, old), (new_place, new) in zip(before, after, strict=False):
        if old_place != new_place:
            raise _changed(edited, min(old_place[0], new_place[0]))
        if old.first not in loose and fingerprint(old.syntax) != fingerprint(new.syntax):
            raise _changed(edited, new_place[0])
    for (number, _), _ in (before[len(after) :] + after[len(before) :])[:1]:
        raise _changed(edited, number)


def _changed(edited: Outline, number: int) -> FenceViolation:
    line = edited.fixed_lines[number]
    return FenceViolation(
        "structure",
        line,
        f"Fixed {quoted(edited.document, line)} would no longer mean what it did: the edit before it opens or closes "
        "a block or a string around it. Keep the indentation of the range, and begin and end there what you add.",
    )


def _skeleton(outline: Outline) -> list[tuple[tuple[int, Slot | None], Node]]:
    """The fixed statements: which fixed line each begins in, and where it stands."""
    fixed = (node for node in outline.nodes if node.owner is None)
    return [((outline.fixed_line_numbers[node.first], outline.slot(node)), node) for node in fixed]


def _around_expressions(template: Template) -> list[Node]:
    """Fixed statements with an editable range inside that holds no statements, but part of an expression or string."""
    nodes, ranges = template.outline.nodes, template.outline.document.ranges
    inside = [start for (start, _), slots in zip(ranges, template.slots, strict=True) if not slots]
    return [node for node in nodes if node.owner is None and any(node.first < start <= node.last for start in inside)]


def _check_slots(template: Template, edited: Outline) -> None:
    for node in edited.nodes:
        slot = edited.slot(node)
        if node.owner is None or slot is None or slot in template.slots[node.owner]:
            continue
        raise FenceViolation(
            "structure",
            node.first,
            f"In {quoted(edited.document, node.first)}: a statement outside its editable range's place in the script, "
            f"{_place(template, edited, node.owner)}.",
        )


def _place(template: Template, edited: Outline, owner: int) -> str:
    start, end = edited.document.ranges[owner]
    parents = sorted({parent for parent, _ in template.slots[owner]})
    if not parents:
        return f"lines {start}–{end} are part of an expression or a string, where no statement can begin"
    if parents == [MODULE]:
        return f"lines {start}–{end} stand at the top level of the file, without indentation"
    outer = next(edited.nodes[p].first for p, number in edited.fixed.items() if number == parents[-1])
    return f"lines {start}–{end} stand inside {quoted(edited.document, outer)}; keep their indentation"
