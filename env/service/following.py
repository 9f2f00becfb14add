"""How a session's last test stands, for callers that wait for it in short calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from env.api.refusal import Kind, Refusal
from env.lifecycle import feedback
from env.lifecycle.loop import Lifecycle
from env.service.answer import Answer
from env.service.views import Views

Tell = Callable[[Mapping[str, Any]], Awaitable[None]]
"""Is given the test's progress each time there is news."""


class Following:
    def __init__(self, views: Views, lifecycle: Lifecycle, result_call: str) -> None:
        """`result_call`: what an answer says of how to ask for the result."""
        self._views = views
        self._lifecycle = lifecycle
        self._result_call = result_call

    async def status(self, bearer: str | None, session_id: str, wait_s: float, tell: Tell) -> Answer:
        """The last test, as soon as it is over or `wait_s` seconds have passed. Not a step: it changes nothing."""
        tests = self._views.session(bearer, session_id)["tests"]
        if not tests:
            raise Refusal(Kind.CONFLICT, "no_results", "No test results yet. Run test() at least once first.")
        n = tests[-1]["n"]
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        seen = self._views.test(bearer, session_id, n)
        while (left := deadline - loop.time()) > 0 and await self._lifecycle.changed(session_id, n, left):
            seen = self._views.test(bearer, session_id, n)
            await tell(seen["progress"])
        seen = self._views.test(bearer, session_id, n)
        told = seen["observation"] or feedback.under_way(seen, self._result_call)
        return Answer({"ok": True, "observation": told, "test": seen})
