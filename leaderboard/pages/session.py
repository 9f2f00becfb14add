"""A session's page: what was tested and how it went, and the way there step by step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from leaderboard.pages.difference import Difference, difference
from leaderboard.pages.record import RecordView, record_view
from leaderboard.pages.render import render
from leaderboard.pages.story import Change, SessionStory, StepStory, TestStory

MAX_TEXT = 4000
"""Characters of an observation or an argument; the rest is in the JSON."""
_OF_A_CHANGE = ("content", "old_str", "new_str")
"""Arguments that the difference shows better."""


@dataclass(frozen=True)
class Text:
    """The beginning of a text, or all of it."""

    shown: str
    left_out: int
    """Characters."""


@dataclass(frozen=True)
class StepView:
    story: StepStory
    headline: str
    arguments: tuple[tuple[str, Text], ...]
    observation: Text
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class TestView:
    story: TestStory
    differences: tuple[Difference, ...]
    record: RecordView | None

    __test__ = False  # not a test case, whatever pytest makes of the name

    @property
    def live(self) -> bool:
        return self.story.ended_at is None


def session_page(story: SessionStory) -> str:
    return render(
        "session.html",
        story=story,
        tests=[_test(test) for test in story.tests],
        steps=[_step(step) for step in story.steps],
        metadata=[(str(key), Text(*_cut(_json(value)))) for key, value in story.metadata.items()],
    )


def _test(test: TestStory) -> TestView:
    record = None if test.record is None else record_view(test.record)
    return TestView(test, _differences(test.changes), record)


def _step(step: StepStory) -> StepView:
    hidden = (*_OF_A_CHANGE, "filename") if step.changes else ()
    arguments = tuple(
        (name, Text(*_cut(_json(value)))) for name, value in step.input.items() if name not in (*hidden, "op")
    )
    headline = step.input.get("op")
    return StepView(
        step,
        headline if isinstance(headline, str) else "",
        arguments,
        Text(*_cut(step.observation)),
        _differences(step.changes),
    )


def _differences(changes: tuple[Change, ...]) -> tuple[Difference, ...]:
    return tuple(difference(change.filename, change.before, change.after) for change in changes)


def _json(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, indent=1 if isinstance(value, list | Mapping) else None)


def _cut(text: str) -> tuple[str, int]:
    return text[:MAX_TEXT], max(0, len(text) - MAX_TEXT)
