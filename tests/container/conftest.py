"""Runs in real containers. Everything here but the pure parts needs an engine."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from runner.container.runner import DockerRunner
from runner.protocol import Phase, RunSpec, RunState
from tests.support.waiting import until


@pytest.fixture
def finish() -> Callable[..., RunState]:
    """Submits a run, unless it is there, and waits for its end."""

    def run(runner: DockerRunner, spec: RunSpec, patience_s: float = 60) -> RunState:
        runner.submit(spec)
        until(lambda: runner.poll(spec.run_id).phase is Phase.ENDED, patience_s)
        return runner.poll(spec.run_id)

    return run


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    return until
