"""The lint, step by step."""

from __future__ import annotations

from collections.abc import Sequence

from env.document import Document
from env.fence.bindings import check_bindings
from env.fence.outline import Outline
from env.fence.overrides import check_overrides
from env.fence.reach import check_reach
from env.fence.structure import check_structure
from env.fence.syntax import parse
from env.fence.template import outlined, survey


def check_source(original: Document | None, edited: Document, *, override_keys: Sequence[str]) -> None:
    """Find what would waste a test: bad syntax, fixed code changed in meaning, its names taken, unknown overrides.

    And what no test should be spent on: reaching for the run's settings. `original` is the task's file as opened; None
    for a file the agent created, which has no fixed code.
    Raises FenceViolation. A file that is not Python, or was none to begin with, passes.
    """
    if not edited.filename.endswith(".py") or not (original is None or original_is_lintable(original)):
        return
    outline = Outline(edited, parse(edited))
    template = None if original is None else survey(original)
    if template is not None:
        check_structure(template, outline)
        check_bindings(template, outline)
        check_overrides(template, outline, override_keys)
    check_reach(None if original is None else outlined(original), outline)


def original_is_lintable(original: Document) -> bool:
    """Operators may fence any text: only what Python reads is linted."""
    return original.filename.endswith(".py") and outlined(original) is not None
