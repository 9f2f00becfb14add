"""How a run ended, concluded from what the engine says of its container. Pure: no engine is asked here."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runner.protocol import Exit, ExitReason

_SIGNAL = 128  # a container reports a signal as this plus its number, as shells do
_KILLED = _SIGNAL + signal.SIGKILL
_BY_ENGINE = (_KILLED, _SIGNAL + signal.SIGTERM, 255)  # what an engine that goes down leaves behind
_NEVER = "0001-"  # the engine's year for a moment that has not come


@dataclass(frozen=True)
class Circumstances:
    """What the runner itself knows of the run."""

    memory_mb: int
    stopped: Exit | None = None
    """Why the runner killed it, noted before it did; None if it did not."""
    interrupted: bool = False
    """The engine or the machine went down while the run was going on, or somebody used the engine to kill it."""


def classify(state: Mapping[str, Any] | None, about: Circumstances) -> Exit:
    """The exit of a container that is over, by its `State` (Engine API, ContainerInspect); None if it is gone.

    Conservative in both directions: what the run did by itself is never taken for ours, even if we were about to kill
    it, and what the engine did is never blamed on the run.
    """
    if state is None:
        return Exit(ExitReason.LOST, detail="its container is gone")
    if str(state["StartedAt"]).startswith(_NEVER):
        return Exit(ExitReason.LOST, detail=f"its container did not start: {state.get('Error') or 'no reason given'}")
    code = int(state["ExitCode"])
    if about.stopped is not None and code == _KILLED:
        return about.stopped
    if state.get("OOMKilled") and code != 0:
        # Also when it was only one process of several: the others end with codes of their own.
        return Exit(ExitReason.MEMORY, detail=f"{about.memory_mb} MiB")
    if about.interrupted and code in _BY_ENGINE:
        return Exit(ExitReason.LOST, detail="its container was killed from outside, or its engine went down")
    if _SIGNAL < code <= _SIGNAL + signal.SIGRTMAX:
        return Exit(ExitReason.SIGNALLED, code - _SIGNAL)
    return Exit(ExitReason.EXITED, code)
