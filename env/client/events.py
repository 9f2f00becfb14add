"""A test's server-sent events as values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from env.api.sessions import Point, TestTicket, TestView

Event = TestTicket | Point | TestView
"""A new status, a TRAIN_METRICS line, and at last the test's view."""

_KINDS: dict[str, type[TestTicket] | type[Point] | type[TestView]] = {
    "status": TestTicket,
    "metrics": Point,
    "result": TestView,
}


def parsed(lines: Iterable[str]) -> Iterator[Event]:
    """Of the kinds known here; comments and other events are passed over."""
    name = ""
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data" and name in _KINDS:
            yield _KINDS[name].model_validate_json(value)
