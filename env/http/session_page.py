"""A session's page: what was tested and how it went, and the way there step by step."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from env.service.history import FileChange, SessionHistory, StepHistory, TestHistory
from leaderboard.board import BoardKey
from leaderboard.model import RecordedResult
from leaderboard.naming import MORE_COMPUTE
from leaderboard.pages.difference import Difference, difference
from leaderboard.pages.record import RecordView, record_view
from leaderboard.pages.render import render
from ringfence.api.sessions import StepView, TestView

MAX_TEXT = 4000
"""Characters of an observation or an argument that are shown; the rest is in the JSON."""
_OF_A_CHANGE = ("content", "old_str", "new_str", "filename")
"""Arguments that the difference shows better."""


@dataclass(frozen=True)
class Excerpt:
    """The beginning of a text, or all of it."""

    shown: str
    left_out: int
    """How many characters follow."""


@dataclass(frozen=True, kw_only=True)
class ShownTest:
    """A test or a probe as the page's template takes it."""

    view: TestView
    run_key: str
    labels: tuple[str, ...]
    board: BoardKey | None
    """The board that its row stands on; None where it has no row."""
    mark: str
    """What has to be said beside its numbers while it has no row."""
    differences: tuple[Difference, ...]
    record: RecordView | None
    """The integrity record of its row on the leaderboard; None where it has no row."""

    @property
    def live(self) -> bool:
        return self.view.ended_at is None

    @property
    def name(self) -> str:
        """`Test #1` or `Probe #1`."""
        return f"{self.view.kind.capitalize()} #{self.view.n}"

    @property
    def anchor(self) -> str:
        """Where it stands on the page: `test-1` or `probe-1`."""
        return f"{self.view.kind}-{self.view.n}"


@dataclass(frozen=True, kw_only=True)
class ShownStep:
    """A step as the page's template takes it."""

    view: StepView
    headline: str
    """The kind of edit; empty for steps of which there is only one kind."""
    arguments: tuple[tuple[str, Excerpt], ...]
    observation: Excerpt
    differences: tuple[Difference, ...]


def session_page(history: SessionHistory) -> str:
    """The page as HTML."""
    return render(
        "session.html",
        session=history.view,
        title=history.title,
        prompt=history.prompt,
        proxy=history.proxy,
        submission=history.view.submission,
        confirmed=(history.view.confirms or "").rpartition("-")[::2],
        tests=[_test(test) for test in history.tests],
        steps=[_step(step) for step in history.steps],
        page=history.page,
        pages=history.pages,
        metadata=[(name, _excerpt(value)) for name, value in history.view.metadata.items()],
    )


def _test(test: TestHistory) -> ShownTest:
    recorded = test.recorded
    return ShownTest(
        view=test.view,
        run_key=test.run_key,
        labels=() if recorded is None else tuple(_labels(recorded)),
        board=None if recorded is None else recorded.result.board,
        mark=test.view.mark,
        differences=_differences(test.changes),
        record=None if recorded is None else record_view(recorded.result.record),
    )


def _labels(recorded: RecordedResult) -> Iterator[str]:
    if recorded.result.template_unmodified:
        yield "unedited template"
    if recorded.duplicate_of is not None:
        yield f"same code as {recorded.duplicate_of}"
    if recorded.result.confirms is not None:
        yield f"confirms {recorded.result.confirms}"
    if recorded.auto_submitted:
        yield "submitted automatically"
    if recorded.result.unmet is not None:
        yield f"{recorded.result.unmet}: no answer to the task"
    if (recorded.result.compute or 0) > MORE_COMPUTE:
        yield f"more compute: {recorded.result.compute:.2f} times the unedited script's"


def _step(step: StepHistory) -> ShownStep:
    hidden = ("op", *_OF_A_CHANGE) if step.changes else ("op",)
    headline = step.view.input.get("op")
    return ShownStep(
        view=step.view,
        headline=headline if isinstance(headline, str) else "",
        arguments=tuple((name, _excerpt(value)) for name, value in step.view.input.items() if name not in hidden),
        observation=_excerpt(step.view.observation),
        differences=_differences(step.changes),
    )


def _differences(changes: tuple[FileChange, ...]) -> tuple[Difference, ...]:
    return tuple(difference(change.filename, change.before, change.after) for change in changes)


def _excerpt(value: object) -> Excerpt:
    """The beginning of a text as it is, and of any other JSON value written as JSON."""
    text = value
    if not isinstance(text, str):
        text = json.dumps(value, ensure_ascii=False, indent=1 if isinstance(value, list | Mapping) else None)
    return Excerpt(text[:MAX_TEXT], max(0, len(text) - MAX_TEXT))
