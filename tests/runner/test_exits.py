from __future__ import annotations

import pytest

from runner.protocol import Exit, ExitReason

CASES = {
    "exit=1": Exit(ExitReason.EXITED, 1),
    "exit=127: cannot start foo": Exit(ExitReason.EXITED, 127, detail="cannot start foo"),
    "killed by signal 9 (SIGKILL)": Exit(ExitReason.SIGNALLED, 9),
    "killed by signal 40": Exit(ExitReason.SIGNALLED, 40),
    "exceeded the time limit of 600 s": Exit(ExitReason.DEADLINE, detail="600 s"),
    "exceeded the memory limit of 8192 MiB": Exit(ExitReason.MEMORY, detail="8192 MiB"),
    "exceeded the limit of 512 processes": Exit(ExitReason.LIMIT, detail="512 processes"),
    "cancelled": Exit(ExitReason.CANCELLED),
    "lost by the runner": Exit(ExitReason.LOST),
}


@pytest.mark.parametrize("words", CASES)
def test_an_exit_in_words(words: str) -> None:
    assert CASES[words].in_words() == words


def test_every_reason_has_words() -> None:
    assert {end.reason for end in CASES.values()} == set(ExitReason)
