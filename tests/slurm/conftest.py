"""Runs as jobs of a real cluster."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from runner.protocol import Phase, RunSpec, RunState
from runner.slurm.runner import SlurmRunner
from tests.support.waiting import until


@pytest.fixture
def ended() -> Callable[..., RunState]:
    """Waits for the end of a run."""

    def wait(runner: SlurmRunner, run_id: str = "run", patience_s: float = 60) -> RunState:
        until(lambda: runner.poll(run_id).phase is Phase.ENDED, patience_s, 0.05)
        return runner.poll(run_id)

    return wait


@pytest.fixture
def finish(ended: Callable[..., RunState]) -> Callable[..., RunState]:
    """Submits a run, unless it is there, and waits for its end."""

    def run(runner: SlurmRunner, spec: RunSpec, patience_s: float = 60) -> RunState:
        runner.submit(spec)
        return ended(runner, spec.run_id, patience_s)

    return run
