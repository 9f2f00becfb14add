"""What only shows on real sandboxes that are frozen: workers, a service that dies meanwhile, and evaluations' turns."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from env.lifecycle.attempts import Attempts
from env.lifecycle.progress import Progress
from env.lifecycle.turns import Turns
from runner.container.runner import DockerRunner
from runner.container.sandbox import Sandbox
from runner.protocol import Exit, ExitReason, Phase, RunSpec, RunState
from tests.support.containers import engine_client
from tests.support.processes import next_line, started

pytestmark = pytest.mark.docker
Contain = Callable[..., DockerRunner]
Finish = Callable[..., RunState]
Eventually = Callable[[Callable[[], bool]], None]

OK = Exit(ExitReason.EXITED, 0)
TICKING = "while :; do date +%s.%N; sleep 0.05; done"
SERVICE = """
import json, sys, time
from pathlib import Path
from runner.container.runner import DockerRunner
from runner.container.sandbox import Sandbox
from runner.protocol import RunSpec
root, image, sandbox, script = sys.argv[1:]
runner = DockerRunner(Path(root), Path(root), 1, image, Sandbox(**json.loads(sandbox)))
runner.submit(RunSpec("run", ("sh", "-c", script), timeout_s=3))
runner.pause("run")
print("frozen", flush=True)
time.sleep(60)
"""


def _ticks(runner: DockerRunner, run_id: str) -> list[float]:
    return [float(line) for line in runner.log(run_id, "stdout", 0).decode().splitlines()]


def test_workers_are_frozen_with_their_run(contain: Contain, eventually: Eventually) -> None:
    runner = contain()
    worker = RunSpec("run.audit", ("sh", "-c", TICKING))
    runner.submit(RunSpec("run", ("sh", "-c", TICKING), workers=(worker,)))
    eventually(lambda: bool(_ticks(runner, "run") and _ticks(runner, "run.audit")))
    runner.pause("run")
    frozen_at = time.time()
    time.sleep(1)
    runner.resume("run")
    thawed_at = time.time()
    for name in ("run", "run.audit"):
        eventually(lambda name=name: _ticks(runner, name)[-1] > thawed_at)  # type: ignore[misc]
        assert not [tick for tick in _ticks(runner, name) if frozen_at < tick < thawed_at]
    runner.cancel("run")


def test_what_is_frozen_when_the_service_is_killed_stays_so_until_the_next_lets_it_go_on(
    contain: Contain, finish: Finish, tmp_path: Path, host_image: str, host_sandbox: Sandbox, engine_url: str | None
) -> None:
    script = "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.05; done"
    arguments = [str(tmp_path / "runs"), host_image, json.dumps(asdict(host_sandbox)), script]
    with started([sys.executable, "-c", SERVICE, *arguments]) as service:
        assert next_line(service) == "frozen\n"
        os.kill(service.pid, 9)
    time.sleep(3.5)  # longer than it may take
    runner = contain()
    time.sleep(0.5)
    assert runner.poll("run").phase is Phase.RUNNING
    with engine_client(engine_url) as client:
        assert len(client.containers(filters={"label": "ringfence.run=run", "status": "paused"})) == 1
    runner.resume("run")
    state = finish(runner, RunSpec("run", ("false",)))
    assert state.exit == OK
    assert state.elapsed_s is not None
    assert 0.3 < state.elapsed_s < 3 < state.paused_s


def test_nothing_of_a_training_happens_beside_a_living_scorer(contain: Contain) -> None:
    runner = contain()
    training = RunSpec("s-1-0-0", ("sh", "-c", TICKING))
    worker = RunSpec("t-1-1-0.score-0", ("sh", "-c", TICKING))
    evaluation = RunSpec("t-1-1-0", ("sleep", "2"), workers=(worker,))
    attempts = Attempts(runner, Turns(runner, apart=True))

    async def main() -> None:
        live = Progress(None)
        trains = asyncio.create_task(attempts.take(training, live, lambda: None, evaluates=False))
        await asyncio.sleep(2)
        await attempts.take(evaluation, Progress(None), lambda: None, evaluates=True)
        await asyncio.sleep(2)
        live.cancel_requested = True
        await trains

    asyncio.run(main())
    scored, trained = _ticks(runner, "t-1-1-0.score-0"), _ticks(runner, "s-1-0-0")
    assert len(scored) > 5
    assert not [tick for tick in trained if scored[0] < tick < scored[-1]]
    assert trained[0] < scored[0]
    assert trained[-1] > scored[-1]
