"""How a run ended, in words for people."""

from __future__ import annotations

import signal

from runner.protocol import Exit, ExitReason


def in_words(end: Exit) -> str:
    """One phrase, as in `[COMMAND FAILED exit=1]`."""
    match end.reason:
        case ExitReason.EXITED:
            return _with_detail(f"exit={end.code}", end.detail)
        case ExitReason.SIGNALLED:
            return _with_detail(f"killed by signal {end.code}{_signal_name(end.code)}", end.detail)
        case ExitReason.DEADLINE:
            return f"exceeded the time limit of {end.detail}"
        case ExitReason.MEMORY:
            return f"exceeded the memory limit of {end.detail}"
        case ExitReason.LIMIT:
            return f"exceeded the limit of {end.detail}"
        case ExitReason.CANCELLED:
            return _with_detail("cancelled", end.detail)
        case ExitReason.LOST:
            return _with_detail("lost by the runner", end.detail)


def _with_detail(words: str, detail: str) -> str:
    return f"{words}: {detail}" if detail else words


def _signal_name(number: int | None) -> str:
    try:
        return f" ({signal.Signals(number or 0).name})"
    except ValueError:
        return ""  # a real-time signal
