"""Removes runs that nobody needs any more."""

from __future__ import annotations

import logging
from collections.abc import Callable

from env.lifecycle.attempts import ask
from env.lifecycle.plan import owner
from runner.protocol import Runner, RunnerError

log = logging.getLogger("ringfence.lifecycle")


class Cleanup:
    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def remove_where(self, unwanted: Callable[[tuple[str, int]], bool]) -> None:
        """The runs of every test, by session and number, that is `unwanted`."""
        try:
            names = await ask(self._runner.run_ids)
        except RunnerError:
            log.exception("runs cannot be listed")
            return
        for name in names:
            if unwanted(owner(name)):
                await self.remove(name)

    async def remove(self, name: str) -> None:
        try:
            await ask(self._runner.remove, name)
        except Exception:
            # Nobody's result depends on it, and the next start tries again.
            log.exception("run %s cannot be removed", name)
