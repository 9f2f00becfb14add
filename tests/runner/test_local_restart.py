"""Nothing is lost or run twice when the service, a submission or a supervisor is killed."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from runner.folder.run_folder import RunFolder, read_state
from runner.local.runner import LocalRunner
from runner.protocol import Exit, ExitReason, Phase, Runner, RunnerError, RunSpec, RunState
from tests.support.processes import next_line, started
from tests.support.waiting import threads

Shell = Callable[..., RunSpec]
Ended = Callable[[Runner, str], RunState]

SERVICE = """
import sys, time
from pathlib import Path
from runner.local.runner import LocalRunner
from runner.protocol import RunSpec
runner = LocalRunner(Path(sys.argv[1]), Path(sys.argv[1]), 1)
runner.submit(RunSpec("run", ("sh", "-c", "echo before; sleep 0.7; echo after; echo done > $OUT_DIR/result")))
print("submitted", flush=True)
time.sleep(60)
"""


def test_a_run_survives_the_kill_of_its_service(local: LocalRunner, tmp_path: Path, ended: Ended) -> None:
    with started([sys.executable, "-c", SERVICE, tmp_path / "runs"]) as service:
        assert next_line(service) == "submitted\n"
    assert local.run_ids() == ["run"]
    assert local.poll("run").phase is Phase.RUNNING
    assert ended(local, "run").exit == Exit(ExitReason.EXITED, 0)
    assert local.log("run", "stdout", 0) == b"before\nafter\n"
    assert local.collect("run", "result") == b"done\n"


def test_another_runner_on_the_same_root_knows_and_controls_every_run(
    local: LocalRunner, tmp_path: Path, shell: Shell, ended: Ended
) -> None:
    local.submit(shell("sleep 60\n", run_id="going-on"))
    local.submit(shell("echo hello\n", run_id="over"))
    over = ended(local, "over")
    other = LocalRunner(tmp_path / "runs", tmp_path / "data", slots=2)
    assert other.run_ids() == ["going-on", "over"]
    assert other.poll("over") == over
    other.submit(shell("sleep 60\n", run_id="going-on"))
    other.cancel("going-on")
    assert ended(local, "going-on").exit == Exit(ExitReason.CANCELLED)


def test_one_of_many_submissions_at_once_starts_the_run(local: LocalRunner, shell: Shell, ended: Ended) -> None:
    spec = shell("echo started >> $OUT_DIR/starts; sleep 0.2\n")
    with threads(8) as pool:
        list(pool.map(local.submit, [spec] * 16))
    assert local.poll("run").phase is Phase.RUNNING
    ended(local, "run")
    assert local.collect("run", "starts") == b"started\n"


def test_a_submission_cut_short_can_be_repeated(local: LocalRunner, tmp_path: Path, shell: Shell, ended: Ended) -> None:
    work = tmp_path / "runs" / "run" / "work"
    work.mkdir(parents=True)
    (work / "train.sh").write_text("half a scr")
    (work / "train.sh").chmod(0o444)
    work.chmod(0o555)
    assert local.poll("run").phase is Phase.UNKNOWN
    local.submit(shell("echo whole\n"))
    assert ended(local, "run").exit == Exit(ExitReason.EXITED, 0)
    assert local.log("run", "stdout", 0) == b"whole\n"


def test_a_run_laid_out_but_never_started_can_be_repeated(
    local: LocalRunner, tmp_path: Path, shell: Shell, ended: Ended, eventually: Callable[..., None]
) -> None:
    folder = RunFolder(tmp_path / "runs" / "run")
    local.submit(shell("echo whole\n"))
    ended(local, "run")
    eventually(lambda: not folder.held())
    for name in ("supervisor", "started", "exit", "stdout", "stderr"):
        (folder.path / name).unlink()
    local = LocalRunner(tmp_path / "runs", tmp_path / "data", slots=2)  # which does not know that it was started
    assert local.poll("run").phase is Phase.UNKNOWN
    local.submit(shell("echo whole\n"))
    assert ended(local, "run").exit == Exit(ExitReason.EXITED, 0)


def test_a_run_whose_supervisor_is_killed_is_lost_and_nothing_of_it_goes_on(
    local: LocalRunner,
    tmp_path: Path,
    shell: Shell,
    eventually: Callable[..., None],
    processes_under: Callable[[Path], list[psutil.Process]],
) -> None:
    # One process of the command's session without environment, one outside the session with it.
    local.submit(shell("env -i sleep 60 &\nsetsid sleep 60 &\necho ready; wait\n"))
    eventually(lambda: local.log("run", "stdout", 0) == b"ready\n")
    eventually(lambda: [process.name() for process in processes_under(tmp_path)].count("sleep") == 2)
    state = read_state(RunFolder(tmp_path / "runs" / "run").supervisor)
    assert state is not None
    os.kill(state["pid"], signal.SIGKILL)
    eventually(lambda: local.poll("run").phase is Phase.ENDED)
    lost = local.poll("run")
    assert lost.exit is not None
    assert lost.exit.reason is ExitReason.LOST
    assert lost.elapsed_s is not None
    assert processes_under(tmp_path) == []
    assert local.poll("run") == lost


def test_a_supervisor_that_cannot_start_is_an_error_not_an_unknown_run(
    local: LocalRunner,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shell: Shell,
    eventually: Callable[..., None],
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/sh")  # knows no -P
    local.submit(shell("true\n"))
    eventually(lambda: not RunFolder(tmp_path / "runs" / "run").held())
    with pytest.raises(RunnerError, match="supervisor of run run does not start"):
        local.poll("run")


def test_a_run_is_not_much_slower_than_its_command(local: LocalRunner, shell: Shell, ended: Ended) -> None:
    begin = time.monotonic()
    local.submit(shell("true\n"))
    submitted = time.monotonic() - begin
    ended(local, "run")
    assert submitted < 0.1
    assert time.monotonic() - begin < 1.0  # 0.05 s on an idle machine
