"""What can go wrong in an evaluation, and whose fault it is."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from runner.inside.names import (
    AGENT_AT_FAULT,
    DIED_UNHEARD,
    FAILED_UNHEARD,
    FINE,
    LATE_UNHEARD,
    REFUSED_UNHEARD,
    UNHEARD,
    WE_AT_FAULT,
)


class AgentFault(Exception):
    """The agent's model cannot be scored. The text is one line and enough to act upon."""


class ModelFault(AgentFault):
    """The worker reported a failure while it imported, built, loaded or ran the model."""


class CheckpointFault(AgentFault):
    """The checkpoint is missing or is not a file of plain tensors."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"checkpoint {path.name}: {reason}")
        self.path = path
        self.reason = reason


class WorkerDied(AgentFault):
    """The worker process went away without answering. What it printed is in its own run's output."""

    def __init__(self, doing: str) -> None:
        super().__init__(f"the model's process ended while {doing}")
        self.doing = doing


class WorkerTimedOut(AgentFault):
    """The worker did not answer in time. Times in seconds."""

    def __init__(self, doing: str, timeout_s: float) -> None:
        super().__init__(f"the model's process gave no answer within {timeout_s:g} s while {doing}")
        self.doing = doing
        self.timeout_s = timeout_s


class ReplyRefused(AgentFault):
    """The worker answered with something that cannot be the truth."""

    def __init__(self, doing: str, reason: str) -> None:
        super().__init__(f"the model's answer was refused while {doing}: {reason}")
        self.doing = doing
        self.reason = reason


class UnheardFault(Exception):
    """The agent's model failed when it had been shown evaluation data. What it said is for the operator alone."""

    def __init__(self, fault: AgentFault) -> None:
        super().__init__(str(fault))
        kinds = {WorkerDied: DIED_UNHEARD, WorkerTimedOut: LATE_UNHEARD, ReplyRefused: REFUSED_UNHEARD}
        self.status = kinds.get(type(fault), FAILED_UNHEARD)


class SetupFault(Exception):
    """Settings or evaluation data are wrong: the operator's trouble, never the agent's."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


def exit_status(work: Callable[[], None]) -> int:
    """Do the work of a program and return its exit status, one of those in `names.py`.

    A fault is told in one line on standard error.
    """
    try:
        work()
    except AgentFault as fault:
        print(f"ERROR: {fault}", file=sys.stderr)
        return AGENT_AT_FAULT
    except UnheardFault as fault:
        print(f"NOT FOR THE AGENT: {fault}\nERROR: {UNHEARD[fault.status]}", file=sys.stderr)
        return fault.status
    except SetupFault as fault:
        print(f"SETUP ERROR: {fault}", file=sys.stderr)
        return WE_AT_FAULT
    except Exception:
        traceback.print_exc()
        return WE_AT_FAULT
    return FINE
