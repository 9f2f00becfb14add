"""Who is told of a test's way, besides the database."""

from __future__ import annotations

from typing import Protocol

from env.store.model import Run, Session, Test


class Watcher(Protocol):
    """Told after the fact, once it is committed; must not block, and nothing depends on it."""

    def started(self, session: Session, test: Test) -> None:
        """The test has its devices."""

    def ran(self, session: Session, test: Test, run: Run, *, evaluates: bool) -> None:
        """A run of it is over and judged."""

    def finished(self, session: Session, test: Test) -> None:
        """It has its final status."""


class NoWatcher:
    """Watches nothing."""

    def started(self, session: Session, test: Test) -> None: ...

    def ran(self, session: Session, test: Test, run: Run, *, evaluates: bool) -> None: ...

    def finished(self, session: Session, test: Test) -> None: ...
