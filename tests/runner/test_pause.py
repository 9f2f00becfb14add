"""Freezing a run and letting it go on, on every runner that is a sandbox or plays one."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from runner.fake.runner import FakeRunner
from runner.protocol import Exit, ExitReason, Phase, Runner, RunSpec, RunState

Shell = Callable[..., RunSpec]
Ended = Callable[[Runner, str], RunState]

OK = Exit(ExitReason.EXITED, 0)
SHORT = "# fake: seconds=0.5\nfor i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.05; done\n"
ENDLESS = "# fake: hang\nwhile :; do sleep 1; done\n"


@pytest.fixture(params=["fake", pytest.param("docker", marks=pytest.mark.docker)])
def freezer(request: pytest.FixtureRequest) -> Runner:
    chosen: Runner = request.getfixturevalue("contain")() if request.param == "docker" else FakeRunner()
    return chosen


def test_frozen_time_counts_neither_for_the_deadline_nor_as_time_it_took(
    freezer: Runner, shell: Shell, ended: Ended
) -> None:
    freezer.submit(shell(SHORT, timeout_s=2.5))
    freezer.pause("run")
    time.sleep(3)
    assert freezer.poll("run").phase is Phase.RUNNING
    freezer.resume("run")
    state = ended(freezer, "run")
    assert state.exit == OK
    assert state.paused_s >= 2.9
    assert state.elapsed_s is not None
    assert 0 < state.elapsed_s < 2.5  # clocks go on for a run that sleeps while it is frozen


def test_a_deadline_holds_after_the_thaw(freezer: Runner, shell: Shell, ended: Ended) -> None:
    freezer.submit(shell(ENDLESS, timeout_s=1))
    freezer.pause("run")
    time.sleep(0.5)
    freezer.resume("run")
    assert ended(freezer, "run").exit == Exit(ExitReason.DEADLINE, detail="1 s")


def test_what_is_frozen_can_be_cancelled(freezer: Runner, shell: Shell, ended: Ended) -> None:
    freezer.submit(shell(ENDLESS))
    freezer.pause("run")
    freezer.cancel("run")
    assert ended(freezer, "run").exit == Exit(ExitReason.CANCELLED)


def test_what_is_frozen_can_be_removed(freezer: Runner, shell: Shell) -> None:
    freezer.submit(shell(ENDLESS))
    freezer.pause("run")
    freezer.remove("run")
    assert freezer.poll("run").phase is Phase.UNKNOWN


def test_it_can_be_asked_for_again_and_of_whoever_is_not_there(freezer: Runner, shell: Shell, ended: Ended) -> None:
    freezer.pause("nobody")
    freezer.resume("nobody")
    freezer.submit(shell(SHORT))
    freezer.resume("run")
    freezer.pause("run")
    freezer.pause("run")
    freezer.submit(shell(SHORT))  # which does not wake it
    time.sleep(1)
    assert freezer.poll("run").phase is Phase.RUNNING
    freezer.resume("run")
    state = ended(freezer, "run")
    assert state.exit == OK
    assert state.paused_s >= 0.9
    freezer.pause("run")
    assert freezer.poll("run") == state
