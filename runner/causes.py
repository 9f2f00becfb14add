"""What ended a run, in the words that help its author: deaths without a traceback, and messages that advise in vain."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence

_ABORT = re.compile(
    r"terminate called (?:after throwing|without an active exception)|  what\(\): |Fatal Python error: |free\(\): "
    r"|malloc\(\): |corrupted size|double free|\*\*\* stack smashing|Segmentation fault|Bus error"
)
"""What the C++ runtime, the C library and Python print when a process can't go on."""
_SIGNALLED = re.compile(
    r"E\d{4} .{0,80} torch/distributed/elastic/.{0,80}failed \(exitcode: -(\d{1,2})\) local_rank: (\d{1,5})"
)
_MOST_LINES = 8
_UNUSED = re.compile(r"RuntimeError: Expected to have finished reduction in the prior iteration")
_NAMES = re.compile(r"Parameters which did not receive grad for rank \d+: (.+)")
_MOST_NAMES = 12


def deaths(lines: Sequence[str]) -> list[str]:
    """What is told of a process that died without a Python traceback; nothing if none did.

    `lines` are the end of a run's stderr, the launcher's included.
    """
    told = [line.rstrip() for line in lines if _ABORT.match(line)][:_MOST_LINES]
    for line in lines:
        if (found := _SIGNALLED.match(line)) is not None and (number := int(found[1])) != signal.SIGTERM:
            return [*told, f"The process of rank {found[2]} was ended by signal {number}{_named(number)}."]
    return told


def _named(number: int) -> str:
    try:
        return f" ({signal.Signals(number).name})"
    except ValueError:
        return ""


def explained(message: Sequence[str]) -> list[str]:
    """An exception's message, line by line, without advice about lines that no agent may edit."""
    if not _UNUSED.match(message[0]):
        return list(message)
    found = next((found for line in message if (found := _NAMES.search(line))), None)
    names = [name.strip().removeprefix(".") for name in found[1].split(",")] if found else []
    more = len(names) - _MOST_NAMES
    listed = ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
    told = f"RuntimeError: some parameters got no gradient{f': {listed}' if names else ''}."
    return [
        f"{told} Training averages the gradients of all parameters over the processes, so every one has to take "
        "part in the loss in every step: use them in forward, do not create them, or set requires_grad=False.",
    ]
