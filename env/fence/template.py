"""What a task's original script tells the lint: where its editable ranges stand, and what its fixed code relies on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

from env.document import Document
from env.fence.outline import MODULE, Outline, Slot
from env.fence.rebound import rebound
from env.fence.reliance import Reliance, reliance
from env.fence.syntax import parse
from env.fence.violation import FenceViolation

OVERRIDES = "CONFIG_OVERRIDES"
"""What a template calls the settings that an agent may choose."""


@dataclass(frozen=True)
class Template:
    """The original script. Scopes and statements go by their number among the fixed ones, which no edit changes."""

    outline: Outline
    slots: tuple[frozenset[Slot], ...]
    """Per range, where its statements may stand; empty for a range that is no place for statements."""
    relies: Reliance

    @cached_property
    def rebound(self) -> frozenset[str]:
        """Names that the range with CONFIG_OVERRIDES may bind though fixed code binds and reads them as well."""
        found = next(((scope, owner) for (scope, name), owner in self.relies.owners.items() if name == OVERRIDES), None)
        if found is None or found[0] == MODULE:
            return frozenset()
        [position] = [position for position, number in self.outline.fixed.items() if number == found[0]]
        return rebound(self.outline, position, found[1])


@lru_cache(maxsize=64)
def outlined(original: Document) -> Outline | None:
    """The original script's statements; None when it is not Python."""
    if "\r" in original.text:  # Python would count other lines than the document does
        return None
    try:
        return Outline(original, parse(original))
    except FenceViolation:
        return None


@lru_cache(maxsize=64)
def survey(original: Document) -> Template | None:
    """None for a script of which more than the syntax can't be checked: its ranges cut statements in two."""
    outline, ends = outlined(original), [end for _, end in original.ranges]
    if outline is None or any(node.owner is not None and node.last > ends[node.owner] for node in outline.nodes):
        return None
    slots = tuple(_seen(outline, index) or _probed(outline, index) for index in range(len(original.ranges)))
    return Template(outline, slots, reliance(outline))


def _seen(outline: Outline, index: int) -> frozenset[Slot]:
    slots = (outline.slot(node) for node in outline.nodes if node.owner == index)
    return frozenset(slot for slot in slots if slot is not None)


def _probed(outline: Outline, index: int) -> frozenset[Slot]:
    """The slot of a range without statements: where Python puts a `pass` that has its indentation."""
    document = outline.document
    neighbours = (document.editable[index].lines, document.fixed[index + 1].lines, document.fixed[index].lines[::-1])
    for lines in neighbours:
        first = next((line for line in lines if line.strip()), "")
        indent = first[: len(first) - len(first.lstrip())]
        probe = document.with_segment(index, (f"{indent}pass",))
        try:
            probed = Outline(probe, parse(probe))
        except FenceViolation:
            continue
        if slots := _seen(probed, index):
            return slots
    return frozenset()
