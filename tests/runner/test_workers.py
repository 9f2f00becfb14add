"""Runs with workers: they meet, each has its own, and all end with the run. On every runner that has processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from runner.folder import runner as folders
from runner.inside import rendezvous
from runner.protocol import Exit, ExitReason, Phase, Runner, RunSpec, RunState

Serving = Callable[..., RunSpec]
Finish = Callable[[Runner, RunSpec], RunState]
Ended = Callable[[Runner, str], RunState]
Eventually = Callable[[Callable[[], bool]], None]

OK = Exit(ExitReason.EXITED, 0)
CANCELLED = Exit(ExitReason.CANCELLED)
IDLE = "one = meet(); time.sleep(60)\n"
ENDLESS = "one = meet('audit'); print('met', flush=True); time.sleep(60)\n"


def test_a_run_and_its_workers_meet_over_sockets(real_runner: Runner, serving: Serving, finish: Finish) -> None:
    script = """for name in ("first", "second"):
    one = meet(name)
    one.sendall(b"hello " + name.encode())
    print(one.recv(100).decode())
"""
    echo = "one = meet(); one.sendall(one.recv(100).upper()); time.sleep(60)\n"
    assert finish(real_runner, serving(script, {"first": echo, "second": echo})).exit == OK
    assert real_runner.log("run", "stdout", 0) == b"HELLO FIRST\nHELLO SECOND\n"


def test_a_worker_has_files_environment_and_output_of_its_own(
    real_runner: Runner, ended: Ended, eventually: Eventually
) -> None:
    look = "cat mine; echo $MINE$THEIRS; ls -A $OUT_DIR; ls -A $MEET_DIR; echo mine > $OUT_DIR/file; cat $OUT_DIR/file"
    worker = RunSpec("run.audit", ("sh", "-c", look), files={"mine": "text\n"}, env={"MINE": "setting"})
    main = RunSpec("run", ("sh", "-c", "ls; ls $MEET_DIR; sleep 60"), env={"THEIRS": "other"}, workers=(worker,))
    real_runner.submit(main)
    assert ended(real_runner, "run.audit").exit == OK
    assert real_runner.log("run.audit", "stdout", 0) == b"text\nsetting\nmine\n"
    assert real_runner.collect("run", "file") is None
    eventually(lambda: real_runner.log("run", "stdout", 0) == b"audit\n")
    real_runner.cancel("run")
    ended(real_runner, "run")


@pytest.mark.parametrize(
    ("ending", "exit_"),
    [
        ("pass", OK),
        ("sys.exit(3)", Exit(ExitReason.EXITED, 3)),
        ("os.kill(os.getpid(), signal.SIGKILL)", Exit(ExitReason.SIGNALLED, 9)),
        ("time.sleep(60)", Exit(ExitReason.DEADLINE, detail="3 s")),
    ],
    ids=["well", "failure", "signal", "deadline"],
)
def test_workers_end_with_their_run_and_it_alone_decides_how_and_when(
    real_runner: Runner, serving: Serving, finish: Finish, ending: str, exit_: Exit
) -> None:
    script = f"one, other = meet('audit'), meet('score-1'); {ending}\n"
    state = finish(real_runner, serving(script, {"audit": IDLE, "score-1": IDLE}, timeout_s=3))
    assert state.exit == exit_
    assert state.ended_at is not None
    for name in ("run.audit", "run.score-1"):
        worker = real_runner.poll(name)
        assert worker.exit == CANCELLED
        assert worker.ended_at is not None
        assert state.ended_at < worker.ended_at


def test_a_run_is_over_when_its_workers_are(
    real_runner: Runner, serving: Serving, ended: Ended, eventually: Eventually, tmp_path: Path
) -> None:
    real_runner.submit(serving("meet('audit')\n", {"audit": IDLE}))
    eventually((tmp_path / "runs" / "run" / "exit").exists)
    if real_runner.name != "slurm":  # where a job ends its workers by itself, whoever looks
        assert real_runner.poll("run.audit").phase is Phase.RUNNING
        assert real_runner.poll("run").phase is Phase.RUNNING
    assert ended(real_runner, "run").exit == OK
    assert real_runner.poll("run.audit").phase is Phase.ENDED


def test_a_cancelled_run_takes_its_workers_along(
    real_runner: Runner, serving: Serving, ended: Ended, eventually: Eventually
) -> None:
    real_runner.submit(serving(ENDLESS, {"audit": IDLE}))
    eventually(lambda: real_runner.log("run", "stdout", 0) == b"met\n")
    real_runner.cancel("run")
    assert ended(real_runner, "run.audit").exit == CANCELLED  # though nobody polls the run
    assert ended(real_runner, "run").exit == CANCELLED


def test_a_removed_run_leaves_nothing_of_its_workers(
    real_runner: Runner, serving: Serving, eventually: Eventually, tmp_path: Path
) -> None:
    real_runner.submit(serving(ENDLESS, {"audit": IDLE}))
    eventually(lambda: real_runner.log("run", "stdout", 0) == b"met\n")
    assert real_runner.run_ids() == ["run"]
    real_runner.remove("run")
    assert real_runner.run_ids() == []
    assert real_runner.poll("run").phase is Phase.UNKNOWN
    assert real_runner.poll("run.audit").phase is Phase.UNKNOWN
    assert list((tmp_path / "runs").iterdir()) == []


def test_the_early_end_of_a_worker_is_for_its_run_to_notice(
    real_runner: Runner, serving: Serving, finish: Finish
) -> None:
    dying = "one = meet(); print('last words', file=sys.stderr); sys.exit(5)\n"
    script = "one = meet('audit'); gone = one.recv(1); time.sleep(0.5); print(gone)\n"
    assert finish(real_runner, serving(script, {"audit": dying})).exit == OK
    assert real_runner.log("run", "stdout", 0) == b"b''\n"
    assert real_runner.poll("run.audit").exit == Exit(ExitReason.EXITED, 5)
    assert real_runner.log("run.audit", "stderr", 0) == b"last words\n"


@pytest.mark.parametrize(
    ("script", "limits", "exit_"),
    [
        ("sleep 60", {"timeout_s": 0.5}, Exit(ExitReason.DEADLINE, detail="0.5 s")),
        (
            "python -S -c \"import time; x = bytearray(b'x') * (300 << 20); time.sleep(60)\"",
            {"memory_mb": 100},
            Exit(ExitReason.MEMORY, detail="100 MiB"),
        ),
    ],
    ids=["time", "memory"],
)
def test_a_worker_has_limits_of_its_own(
    real_runner: Runner, ended: Ended, script: str, limits: dict[str, int], exit_: Exit
) -> None:
    worker = RunSpec("run.audit", ("sh", "-c", script), **limits)  # type: ignore[arg-type]
    real_runner.submit(RunSpec("run", ("sleep", "60"), workers=(worker,)))
    assert ended(real_runner, "run.audit").exit == exit_
    assert real_runner.poll("run").phase is Phase.RUNNING
    real_runner.cancel("run")
    ended(real_runner, "run")


def test_a_worker_that_had_to_be_killed_is_not_taken_for_its_run(
    real_runner: Runner, finish: Finish, ended: Ended
) -> None:
    worker = RunSpec("run.audit", ("sleep", "60"), timeout_s=0.5)
    main = RunSpec("run", ("sh", "-c", "sleep 3; kill -9 $$"), workers=(worker,))
    real_runner.submit(main)
    assert ended(real_runner, "run.audit").exit == Exit(ExitReason.DEADLINE, detail="0.5 s")
    assert finish(real_runner, main).exit == Exit(ExitReason.SIGNALLED, 9)


def test_submitting_again_starts_no_worker_again(real_runner: Runner, ended: Ended) -> None:
    worker = RunSpec("run.audit", ("echo", "started"))
    spec = RunSpec("run", ("sleep", "60"), workers=(worker,))
    real_runner.submit(spec)
    real_runner.submit(spec)
    ended(real_runner, "run.audit")
    real_runner.submit(spec)
    real_runner.cancel("run")
    ended(real_runner, "run")
    real_runner.submit(spec)
    assert real_runner.poll("run").phase is Phase.ENDED
    assert real_runner.log("run.audit", "stdout", 0) == b"started\n"


def test_no_worker_is_started_for_a_run_that_is_over(real_runner: Runner, finish: Finish) -> None:
    finish(real_runner, RunSpec("run", ("true",)))
    state = finish(real_runner, RunSpec("run", ("true",), workers=(RunSpec("run.audit", ("sleep", "60")),)))
    assert state.exit == OK
    assert real_runner.poll("run.audit").phase is Phase.UNKNOWN


def test_a_worker_that_does_all_it_can_to_stay_ends_with_its_run(
    real_runner: Runner,
    serving: Serving,
    finish: Finish,
    tmp_path: Path,
    processes_under: Callable[[Path], list[psutil.Process]],
) -> None:
    stubborn = f"""# {tmp_path}/stubborn
for number in range(1, signal.NSIG):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
one = meet()
for _ in range(4):
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
end = time.time() + 30
while time.time() < end:
    os.write(1, b"x" * 65536)
    time.sleep(0.01)
"""
    assert finish(real_runner, serving("meet('audit'); time.sleep(0.5)\n", {"audit": stubborn})).exit == OK
    assert processes_under(tmp_path / "stubborn") == []
    assert real_runner.log("run.audit", "stdout", 0, 10) == b"x" * 10


@pytest.mark.parametrize(
    "wrong",
    [
        {"run_id": "other.audit"},
        {"run_id": "run"},
        {"run_id": "run."},
        {"run_id": "run.a/b"},
        {"run_id": "run.a.b"},
        {"run_id": "run.audit", "upstream": "first"},
        {"run_id": "run.audit", "workers": (RunSpec("run.audit.x", ("true",)),)},
    ],
    ids=str,
)
def test_only_runs_named_after_theirs_can_be_workers(wrong: dict[str, object]) -> None:
    with pytest.raises(AssertionError):
        RunSpec("run", ("true",), workers=(RunSpec(command=("true",), **wrong),))  # type: ignore[arg-type]


def test_two_workers_have_two_names() -> None:
    worker = RunSpec("run.audit", ("true",))
    with pytest.raises(AssertionError, match="two workers of one name"):
        RunSpec("run", ("true",), workers=(worker, worker))


def test_a_dismissed_worker_is_killed_and_its_run_told_when_nothing_is_left(
    real_runner: Runner, serving: Serving, ended: Ended, eventually: Eventually
) -> None:
    script = """import pathlib
one, place = meet('score-1'), pathlib.Path(os.environ['MEET_DIR'], 'score-1')
(place / 'dismissed').touch()
while not (place / 'gone').exists(): time.sleep(0.02)
print('gone', flush=True)
time.sleep(60)
"""
    stubborn = "one = meet(); signal.signal(signal.SIGTERM, signal.SIG_IGN); os.fork(); time.sleep(60)\n"
    real_runner.submit(serving(script, {"audit": "one = None; time.sleep(60)\n", "score-1": stubborn}))
    eventually(
        lambda: real_runner.poll("run").phase is Phase.RUNNING and b"gone" in real_runner.log("run", "stdout", 0)
    )
    assert real_runner.poll("run.score-1").exit == CANCELLED
    assert real_runner.poll("run.audit").phase is Phase.RUNNING
    real_runner.cancel("run")
    ended(real_runner, "run")


def test_the_sandbox_spells_a_dismissal_as_the_runner_does() -> None:
    assert (rendezvous.DISMISSED, rendezvous.GONE) == (folders.DISMISSED, folders.GONE) == ("dismissed", "gone")
