"""How long a service that does not answer is waited for."""

from __future__ import annotations

import time

from env.client.errors import ServiceError

_PAUSES_S = (0.1, 0.2, 0.5, 1.0, 2.0)


class Patience:
    """Of one call: a pause before each new attempt, longer each time, until the time is over."""

    def __init__(self, url: str, seconds: float) -> None:
        self._url = url
        self._seconds = seconds
        self._pauses = 0
        self._since = time.monotonic()

    def answered(self) -> None:
        """The service is there: whatever fails from now on has all the time again."""
        self._pauses = 0
        self._since = time.monotonic()

    def pause(self, why: object) -> None:
        """Raises ServiceError when the time is over."""
        waited = time.monotonic() - self._since
        if waited >= self._seconds:
            raise ServiceError(f"{self._url} could not be reached for {waited:.0f} s: {why}")
        time.sleep(_PAUSES_S[min(self._pauses, len(_PAUSES_S) - 1)])
        self._pauses += 1
