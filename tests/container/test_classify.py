"""Whose fault was it? Every kind of end, as the engine reports it."""

from __future__ import annotations

from typing import Any

import pytest

from runner.container.classify import Circumstances, classify
from runner.protocol import Exit, ExitReason

CANCELLED = Exit(ExitReason.CANCELLED)
DEADLINE = Exit(ExitReason.DEADLINE, detail="600 s")
FULL = Exit(ExitReason.LIMIT, detail="8 MiB of files")
MEMORY = Exit(ExitReason.MEMORY, detail="100 MiB")
ENGINE = Exit(ExitReason.LOST, detail="its container was killed from outside, or its engine went down")


def state(code: int, oom: bool = False, started: str = "2026-11-20T16:00:00.5Z", error: str = "") -> dict[str, Any]:
    return {"Status": "exited", "ExitCode": code, "OOMKilled": oom, "StartedAt": started, "Error": error}


def exited(code: int) -> Exit:
    return Exit(ExitReason.EXITED, code)


def killed(number: int) -> Exit:
    return Exit(ExitReason.SIGNALLED, number)


CASES: dict[str, tuple[dict[str, Any] | None, Exit | None, bool, Exit]] = {
    "a good end": (state(0), None, False, exited(0)),
    "an exit status": (state(3), None, False, exited(3)),
    "a command that is not there": (state(127), None, False, exited(127)),
    "an exit status that is no signal": (state(255), None, False, exited(255)),
    "a signal of its own": (state(134), None, False, killed(6)),
    "a real-time signal": (state(192), None, False, killed(64)),
    "killed by nobody here": (state(137), None, False, killed(9)),
    "killed at its deadline": (state(137), DEADLINE, False, DEADLINE),
    "killed because it was cancelled": (state(137), CANCELLED, False, CANCELLED),
    "killed above a limit": (state(137), FULL, False, FULL),
    "ended well as it was about to be killed": (state(0), CANCELLED, False, exited(0)),
    "failed as it was about to be killed": (state(1), DEADLINE, False, exited(1)),
    "out of memory": (state(137, oom=True), None, False, MEMORY),
    "a child out of memory, and the launcher failed": (state(1, oom=True), None, False, MEMORY),
    "a child out of memory, and the launcher died of it": (state(134, oom=True), None, False, MEMORY),
    "a child out of memory, and the run got over it": (state(0, oom=True), None, False, exited(0)),
    "killed by us, after a child ran out of memory": (state(137, oom=True), CANCELLED, False, CANCELLED),
    "killed by an engine that left": (state(137), None, True, ENGINE),
    "terminated by an engine that left": (state(143), None, True, ENGINE),
    "forgotten by an engine that crashed": (state(255), None, True, ENGINE),
    "ended by itself while the engine was away": (state(1), None, True, exited(1)),
    "ended well while the engine was away": (state(0), None, True, exited(0)),
    "out of memory while the engine was away": (state(137, oom=True), None, True, MEMORY),
    "killed by us before the engine left": (state(137), DEADLINE, True, DEADLINE),
    "gone": (None, None, False, Exit(ExitReason.LOST, detail="its container is gone")),
    "gone, and we had wanted to kill it": (
        None,
        CANCELLED,
        True,
        Exit(ExitReason.LOST, detail="its container is gone"),
    ),
    "never started": (
        state(128, started="0001-01-01T00:00:00Z", error="no such runtime"),
        None,
        False,
        Exit(ExitReason.LOST, detail="its container did not start: no such runtime"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_an_end_is_classified(case: str) -> None:
    seen, stopped, interrupted, expected = CASES[case]
    assert classify(seen, Circumstances(100, stopped, interrupted)) == expected


def test_every_reason_is_in_the_table() -> None:
    assert {expected.reason for _, _, _, expected in CASES.values()} == set(ExitReason)
