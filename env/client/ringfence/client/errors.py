"""What a call can come to besides its answer."""

from __future__ import annotations


class RefusedError(Exception):
    """The service turned the call down; nothing was spent. `observation` says what is allowed."""

    def __init__(self, code: str, observation: str, status: int) -> None:
        super().__init__(observation)
        self.code = code
        """Stable, for programs: `test_budget_exhausted`."""
        self.observation = observation
        """For the agent; begins with `ERROR: `."""
        self.status = status
        """Of the HTTP answer."""


class ServiceError(Exception):
    """No answer of a Ringfence service could be had, however often it was asked."""
