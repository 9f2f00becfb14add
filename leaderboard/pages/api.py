"""The page about the HTTP API."""

from __future__ import annotations

from dataclasses import dataclass

from leaderboard.pages.render import render


@dataclass(frozen=True)
class Parameter:
    """What a call takes."""

    name: str
    place: str
    """`path`, `query` or `header`; for a field of the body, whether it is `required` or `optional`."""
    about: str


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A call of the API."""

    method: str
    path: str
    about: str
    parameters: tuple[Parameter, ...]
    body: tuple[Parameter, ...]
    answers: tuple[str, ...]
    """The statuses that it can have."""


def api_page(operations: tuple[Operation, ...]) -> str:
    """Every call with what it takes."""
    return render("api.html", operations=operations)
