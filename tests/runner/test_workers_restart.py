"""A run with workers comes to its right end, and nothing is left over, wherever the service was killed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from runner.container.sandbox import Sandbox
from runner.protocol import Exit, ExitReason, Phase, Runner, RunSpec, RunState
from tests.support.processes import next_line, started

Serving = Callable[..., RunSpec]
KilledService = Callable[..., None]
Finish = Callable[[Runner, RunSpec], RunState]
Ended = Callable[[Runner, str], RunState]
Eventually = Callable[[Callable[[], bool]], None]

OK = Exit(ExitReason.EXITED, 0)
NAMES = ("audit", "score-1")
IDLE = "one = meet(); time.sleep(60)\n"
MEETING = "; ".join(f"one_{i} = meet({name!r})" for i, name in enumerate(NAMES)) + "; print('met', flush=True)\n"
SERVICE = """
import json, os, pkgutil, sys, time
from pathlib import Path
from runner.protocol import RunSpec

kind, root, sandbox, image, spec, where, calls = sys.argv[1:]
if kind == "local":
    from runner.local.runner import LocalRunner
    runner = LocalRunner(Path(root), Path(root), 1)
elif kind == "slurm":
    from runner.slurm.job import cluster_from
    from runner.slurm.runner import SlurmRunner
    runner = SlurmRunner(Path(root), Path(root), cluster_from(sandbox))
else:
    from runner.container.runner import DockerRunner
    from runner.container.sandbox import Sandbox
    runner = DockerRunner(Path(root), Path(root), 1, image, Sandbox(**json.loads(sandbox)))
if where:
    owner, _, name = where.rpartition(".")
    owner, calls = pkgutil.resolve_name(owner), int(calls)
    real = getattr(owner, name)
    def counting(*arguments):
        global calls
        calls -= 1
        if calls < 0:
            os.kill(os.getpid(), 9)
        return real(*arguments)
    setattr(owner, name, counting)
raw = json.loads(spec)
raw["workers"] = tuple(RunSpec(**worker) for worker in raw["workers"])
runner.submit(RunSpec(**raw))
while not runner.log("run", "stdout", 0):
    time.sleep(0.01)
print("met", flush=True)
time.sleep(60)
"""


@pytest.fixture
def killed_service(real_runner: Runner, tmp_path: Path, request: pytest.FixtureRequest) -> KilledService:
    """Has another process submit a run and kills it: when the run has printed something, or as it is about to call
    `where` for another time after so many calls.
    """
    sandbox, image = "", ""
    if real_runner.name == "docker":
        kept: Sandbox = request.getfixturevalue("host_sandbox")
        sandbox, image = json.dumps(asdict(kept)), request.getfixturevalue("host_image")
    if real_runner.name == "slurm":
        sandbox = json.dumps(asdict(request.getfixturevalue("cluster_file")), default=str)

    def run(spec: RunSpec, where: str = "", calls: int = 0) -> None:
        arguments = [real_runner.name, tmp_path / "runs", sandbox, image, json.dumps(asdict(spec)), where, calls]
        with started([sys.executable, "-c", SERVICE, *map(str, arguments)]) as service:
            assert next_line(service) == ("" if where else "met\n")

    return run


SUBMISSIONS = {
    "local": ("runner.local.runner.LocalRunner._submit", "runner.local.runner._start_supervisor"),
    "docker": ("runner.container.runner.DockerRunner._submit", "runner.container.engine.Engine.start"),
}
"""By runner: what takes a run or worker, and what starts it."""
OF_A_JOB = ("runner.slurm.commands.Slurm.submit", "runner.slurm.folder.SlurmFolder.write_job")
"""What hands a run and its workers over at once, and what notes that it was done."""


@pytest.mark.parametrize("submitted", [1, 2])
def test_workers_that_were_not_submitted_any_more_are_when_it_is_repeated(
    real_runner: Runner, serving: Serving, killed_service: KilledService, finish: Finish, submitted: int
) -> None:
    spec = serving(MEETING, dict.fromkeys(NAMES, IDLE))
    if real_runner.name == "slurm":
        killed_service(spec, OF_A_JOB[submitted - 1], 0)
    else:
        killed_service(spec, SUBMISSIONS[real_runner.name][0], submitted)
    assert real_runner.run_ids() == ["run"]
    assert real_runner.poll("run").phase is Phase.RUNNING
    assert finish(real_runner, spec).exit == OK
    assert real_runner.log("run", "stdout", 0) == b"met\n"
    assert [real_runner.poll(f"run.{name}").exit for name in NAMES] == [Exit(ExitReason.CANCELLED)] * 2


@pytest.mark.parametrize("submitted", [1, 2])
def test_a_worker_whose_start_was_cut_short_is_started_when_it_is_repeated(
    real_runner: Runner, serving: Serving, killed_service: KilledService, finish: Finish, submitted: int
) -> None:
    spec = serving(MEETING, dict.fromkeys(NAMES, IDLE))
    if real_runner.name == "slurm":
        killed_service(spec, "runner.slurm.folder.SlurmFolder.accept" if submitted == 1 else OF_A_JOB[1], 0)
    else:
        killed_service(spec, SUBMISSIONS[real_runner.name][1], submitted)
    assert finish(real_runner, spec).exit == OK
    assert real_runner.log("run", "stdout", 0) == b"met\n"


def test_a_run_goes_on_with_its_workers_when_its_service_is_killed(
    real_runner: Runner, serving: Serving, killed_service: KilledService, finish: Finish
) -> None:
    spec = serving(MEETING + "time.sleep(1); one_0.sendall(b'x')\n", dict.fromkeys(NAMES, IDLE))
    killed_service(spec)
    assert [real_runner.poll(name).phase for name in ("run", "run.audit", "run.score-1")] == [Phase.RUNNING] * 3
    assert finish(real_runner, spec).exit == OK


def test_workers_of_a_run_that_ended_while_nobody_looked_are_killed(
    real_runner: Runner, serving: Serving, killed_service: KilledService, ended: Ended
) -> None:
    spec = serving(MEETING + "sys.exit(3)\n", dict.fromkeys(NAMES, IDLE))
    killed_service(spec)
    state = ended(real_runner, "run")
    assert state.exit == Exit(ExitReason.EXITED, 3)
    workers = [real_runner.poll(f"run.{name}") for name in NAMES]
    assert [worker.exit for worker in workers] == [Exit(ExitReason.CANCELLED)] * 2
    assert state.ended_at is not None
    assert all(worker.ended_at is not None and worker.ended_at > state.ended_at for worker in workers)


def test_workers_without_their_run_are_found_and_removed(
    real_runner: Runner, serving: Serving, eventually: Eventually, tmp_path: Path
) -> None:
    folder = tmp_path / "runs" / "run"
    real_runner.submit(serving(MEETING, dict.fromkeys(NAMES, IDLE)))
    eventually((folder / "exit").exists)
    if (folder / "out").is_mount():
        subprocess.run(["umount", folder / "out"], check=True)
    # A job that is about to end may still write there.
    eventually(lambda: shutil.rmtree(folder, ignore_errors=True) is None and not folder.exists())
    if real_runner.name != "slurm":  # where a job ends its workers by itself, whoever looks
        assert real_runner.poll("run.audit").phase is Phase.RUNNING
    assert real_runner.run_ids() == ["run"]
    real_runner.remove("run")
    assert real_runner.run_ids() == []
    assert list((tmp_path / "runs").iterdir()) == []
