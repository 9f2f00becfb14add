"""A cluster whose parts fail: every run comes to one end, and nothing that Slurm does not say is taken for one."""

from __future__ import annotations

import contextlib
import itertools
import stat
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from runner.protocol import Exit, ExitReason, Phase, RunnerError, RunSpec, RunState
from runner.slurm.cluster import Cluster
from runner.slurm.commands import Slurm
from runner.slurm.runner import SlurmRunner
from tests.support.processes import living_under
from tests.support.slurm import SlurmCluster
from tests.support.waiting import until

pytestmark = pytest.mark.slurm
OnSlurm = Callable[..., SlurmRunner]
Finish = Callable[..., RunState]
Ended = Callable[..., RunState]

OK = Exit(ExitReason.EXITED, 0)
SHORT = RunSpec("run", ("sh", "-c", "echo begun; sleep 4; echo done"))
LONG = RunSpec("run", ("sh", "-c", "echo begun; sleep 100"))


def begun(runner: SlurmRunner, run_id: str = "run") -> None:
    until(lambda: runner.log(run_id, "stdout", 0) == b"begun\n", 40)


def test_a_run_goes_on_without_slurmctld_and_slurmd(on_slurm: OnSlurm, slurm: SlurmCluster, ended: Ended) -> None:
    runner = on_slurm()
    runner.submit(SHORT)
    begun(runner)
    for daemon in ("slurmctld", "node1", "node2"):
        slurm.kill(daemon)
    assert ended(runner).exit == OK
    assert runner.log("run", "stdout", 0) == b"begun\ndone\n"
    slurm.start()
    assert ended(on_slurm()).exit == OK


def test_a_run_waits_for_a_slurmctld_that_is_away(on_slurm: OnSlurm, slurm: SlurmCluster, ended: Ended) -> None:
    runner = on_slurm()
    slurm.kill("slurmctld")
    runner.submit(RunSpec("run", ("echo", "begun")))
    assert runner.poll("run").phase is Phase.RUNNING
    slurm.start()
    assert ended(runner).exit == OK
    assert runner.log("run", "stdout", 0) == b"begun\n"


def test_a_job_that_somebody_cancels_is_lost(on_slurm: OnSlurm, slurm: SlurmCluster, ended: Ended) -> None:
    runner = on_slurm()
    runner.submit(LONG)
    begun(runner)
    slurm.ask("scancel", "--user=0")
    end = ended(runner).exit
    assert end is not None
    assert end.reason is ExitReason.LOST


def test_a_job_that_dies_without_a_word_is_lost_when_it_shows_no_life(
    on_slurm: OnSlurm, finish: Finish, ended: Ended, tmp_path: Path, cluster_file: Cluster
) -> None:
    runner = on_slurm(lost_after_s=3)
    runner.submit(LONG)
    begun(runner)
    for process in living_under(tmp_path):
        with contextlib.suppress(psutil.Error):
            if "runner.slurm.job" in process.cmdline():
                process.kill()
    until(lambda: not living_under(tmp_path / "runs"), 20)
    end = ended(runner).exit
    assert end is not None
    assert end.reason is ExitReason.LOST
    assert "wrote no end" in end.detail
    assert any(cluster_file.node_folder.iterdir())
    assert finish(runner, RunSpec("next", ("true",))).exit == OK  # and clears away what is left on its node


def test_a_run_that_is_submitted_twice_is_one_result(on_slurm: OnSlurm, ended: Ended, tmp_path: Path) -> None:
    runner = on_slurm()
    runner.submit(SHORT)
    begun(runner)
    runner._jobs.hand_over(runner._folder("run"))  # as after an answer of Slurm's that was lost
    log = tmp_path / "runs" / "run" / "job.log"
    until(lambda: "finds the run begun by another" in log.read_text(), 20, 0.1)
    assert runner.poll("run").phase is Phase.RUNNING
    assert ended(runner).exit == OK
    assert runner.log("run", "stdout", 0) == b"begun\ndone\n"


def test_only_the_job_of_that_name_is_cancelled(on_slurm: OnSlurm, slurm: SlurmCluster, ended: Ended) -> None:
    runner = on_slurm()
    runner.submit(LONG)
    begun(runner)
    job = runner._folder("run").job()
    assert job is not None
    Slurm().cancel(job[0], "somebody-elses")
    time.sleep(1)
    assert any(f"{job[0]} RUNNING" in line for line in slurm.jobs("RUNNING"))
    runner.cancel("run")
    assert ended(runner).exit == Exit(ExitReason.CANCELLED)


def test_a_job_whose_run_was_removed_is_ended(
    on_slurm: OnSlurm, slurm: SlurmCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.slurm.jobs._GRACE_S", 0.5)
    runner = on_slurm()
    runner.submit(LONG)
    begun(runner)
    name = f"ringfence-{runner._owner}-removed"
    other = "ringfence-0123abcd-removed"
    for each in (name, other):
        slurm.ask("sbatch", "--parsable", f"--job-name={each}", "--output=/dev/null", "--mem=1", "--wrap=sleep 100")

    def is_ended() -> bool:
        runner.poll("run")
        return not any(line.endswith(name) for line in slurm.jobs("PENDING,RUNNING"))

    until(is_ended, 30, 0.2)
    assert any(line.endswith(other) for line in slurm.jobs("PENDING,RUNNING"))
    slurm.ask("scancel", f"--name={other}")
    assert runner.poll("run").phase is Phase.RUNNING
    runner.cancel("run")


def test_a_run_that_waits_says_why_and_can_be_cancelled(on_slurm: OnSlurm, ended: Ended) -> None:
    runner = on_slurm(cpus=16)
    for name in ("first", "second", "third", "fourth"):
        runner.submit(RunSpec(name, ("sh", "-c", "echo begun; sleep 100"), memory_mb=100))
    begun(runner, "first")
    begun(runner, "second")
    until(lambda: all(runner.poll(name).queued for name in ("third", "fourth")), 20, 0.1)
    third, fourth = runner.poll("third").queued, runner.poll("fourth").queued
    assert third is not None
    assert fourth is not None
    assert (third.place, fourth.place) == (1, 2)
    until(lambda: str(getattr(runner.poll("third").queued, "reason", "")) in ("Resources", "Priority"), 20, 0.1)
    assert runner.poll("first").queued is None
    runner.cancel("third")
    assert ended(runner, "third").exit == Exit(ExitReason.CANCELLED)
    for name in ("fourth", "first", "second"):
        runner.cancel(name)
    assert ended(runner, "fourth").exit == Exit(ExitReason.CANCELLED)
    assert ended(runner, "fourth").started_at is None


def test_what_slurm_refuses_is_told_and_nothing_is_left(on_slurm: OnSlurm) -> None:
    runner = on_slurm(partition="nowhere")
    with pytest.raises(RunnerError, match="partition"):
        runner.submit(SHORT)
    assert runner.poll("run").phase is Phase.UNKNOWN
    runner.remove("run")


def test_one_squeue_in_two_seconds_whatever_the_number_of_runs(on_slurm: OnSlurm, tmp_path: Path) -> None:
    counted, commands = tmp_path / "counted", tmp_path / "commands"
    commands.mkdir()
    for name in ("sbatch", "squeue", "scancel"):
        note = f"date +%s.%N >> {counted}\n" if name == "squeue" else ""
        (commands / name).write_text(f'#!/bin/sh\n{note}exec /usr/bin/{name} "$@"\n')
        (commands / name).chmod(stat.S_IRWXU)
    runner = on_slurm(commands=commands)
    names = [f"run{number}" for number in range(6)]
    for name in names:
        runner.submit(RunSpec(name, ("sleep", "100"), memory_mb=100))
    end = time.monotonic() + 5
    while time.monotonic() < end:
        for name in names:
            runner.poll(name)
    for name in names:
        runner.cancel(name)
    times = [float(line) for line in counted.read_text().split()]
    assert len(times) >= 2
    assert all(later - earlier > 1.8 for earlier, later in itertools.pairwise(times))


def test_gpus_are_slurms_and_each_role_gets_its_own(on_slurm: OnSlurm, slurm: SlurmCluster, finish: Finish) -> None:
    runner = on_slurm(cpus_per_gpu=1)
    worker = RunSpec("run.audit", ("sleep", "60"), device_ids=("gpu-3",))
    spec = RunSpec("run", ("true",), workers=(worker,), device_ids=("gpu-1", "gpu-3"))
    assert finish(runner, spec).exit == OK
    rooms = runner._folder("run").rooms()
    assert [room.gpus for room in rooms] == [(0, 1), (1,)]
    job = runner._folder("run").job()
    assert job is not None
    assert "gres:gpu:2" in slurm.ask("scontrol", "show", "job", str(job[0])).replace("gres/gpu", "gres:gpu")


def test_no_process_and_no_folder_of_a_job_is_left_on_the_node(
    on_slurm: OnSlurm, finish: Finish, cluster_file: Cluster
) -> None:
    runner = on_slurm()
    assert finish(runner, RunSpec("run", ("sh", "-c", "setsid sleep 77 & exit 3"))).exit == Exit(ExitReason.EXITED, 3)
    until(lambda: not any(cluster_file.node_folder.iterdir()), 10)
    assert not [one for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == ["sleep", "77"]]
