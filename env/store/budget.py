"""What a session has left to spend."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from env.store.keys import is_probe
from env.store.model import Session, Status

MAX_INFRA_FAILURES = 6
"""Tests of one session that may fail by our fault, probes included; each has held devices."""


class Spent(Protocol):
    """A test or a probe as far as the budget is concerned."""

    @property
    def n(self) -> int: ...

    @property
    def refunded(self) -> bool: ...

    @property
    def status(self) -> str: ...

    @property
    def gpu_s(self) -> float | None: ...


def tests_left(session: Session, tests: Iterable[Spent]) -> int:
    """How many tests the session may still spend: its task's budget less the tests that were not refunded; none once
    its GPU hours are used, or too many have failed for our reasons, as refunds would otherwise have no end.
    """
    had = tuple(tests)
    if _over(session, had):
        return 0
    return session.task.budget.tests - sum(not test.refunded for test in had if not is_probe(test.n))


def probes_left(session: Session, tests: Iterable[Spent]) -> int:
    """How many probes the session may still spend, in the same way: of a budget of their own."""
    had = tuple(tests)
    if session.proxy is None or _over(session, had):
        return 0
    return session.task.budget.probes - sum(not test.refunded for test in had if is_probe(test.n))


def _over(session: Session, had: Sequence[Spent]) -> bool:
    hours = session.task.budget.gpu_hours
    return failed_by_us(had) >= MAX_INFRA_FAILURES or (hours is not None and gpu_hours_used(had) >= hours)


def gpu_hours_used(tests: Iterable[Spent]) -> float:
    """What the tests used of their GPUs together, in hours; a test that failed for our reasons used nothing."""
    return sum(test.gpu_s or 0.0 for test in tests if not test.refunded) / 3600


def failed_by_us(tests: Iterable[Spent]) -> int:
    """How many of the tests were refunded because the infrastructure failed."""
    return sum(test.status == Status.INFRA_FAILED for test in tests)
