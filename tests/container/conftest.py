"""Runs in real containers. Everything here but the pure parts needs an engine."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from runner.container.runner import DockerRunner
from runner.protocol import Phase, RunSpec, RunState


@pytest.fixture
def finish() -> Callable[..., RunState]:
    """Submits a run, unless it is there, and waits for its end."""

    def run(runner: DockerRunner, spec: RunSpec, patience_s: float = 60) -> RunState:
        runner.submit(spec)
        wait_until(lambda: runner.poll(spec.run_id).phase is Phase.ENDED, patience_s)
        return runner.poll(spec.run_id)

    return run


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    return lambda holds: wait_until(holds, 15)


def wait_until(holds: Callable[[], bool], patience_s: float) -> None:
    last = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < last, "waited in vain"
        time.sleep(0.01)
