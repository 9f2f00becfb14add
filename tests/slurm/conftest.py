"""Runs as jobs of a real cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from runner.protocol import Phase, RunSpec, RunState
from runner.slurm.runner import SlurmRunner
from tests.container.test_containment import inside  # noqa: F401 - a fixture, on `contain` as it is here
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


@pytest.fixture
def contain(on_slurm: Callable[..., SlurmRunner]) -> Callable[..., SlurmRunner]:
    """What the container runner's tests call the maker of a runner."""

    def make(slots: int = 2, **keys: Any) -> SlurmRunner:
        return on_slurm(slots=slots, **keys)

    return make


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    return until
