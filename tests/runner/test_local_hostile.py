"""What a run can do to a host, and what the local runner makes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

import runner
from runner.local.runner import LocalRunner
from runner.processes.output import TAIL_BYTES
from runner.protocol import Exit, ExitReason, Runner, RunnerError, RunSpec, RunState

Shell = Callable[..., RunSpec]
Finish = Callable[[Runner, RunSpec], RunState]
ProcessesUnder = Callable[[Path], list[psutil.Process]]

OK = Exit(ExitReason.EXITED, 0)


def test_a_flood_of_output_keeps_its_beginning_and_its_end(local: LocalRunner, shell: Shell, finish: Finish) -> None:
    assert finish(local, shell("echo the beginning; yes | head -c 300000000; echo the end\n")).exit == OK
    log = local.log("run", "stdout", 0)
    assert log.startswith(b"the beginning\ny\n")
    assert log.endswith(b"y\nthe end\n")
    left_out = 300_000_000 + len("the beginning\nthe end\n") - (64 << 10) - TAIL_BYTES
    assert b"\n[... %d bytes left out ...]\n" % left_out in log
    assert len(log) < (64 << 10) + TAIL_BYTES + 100


def test_one_huge_line_is_just_bytes(local: LocalRunner, shell: Shell, finish: Finish) -> None:
    assert finish(local, shell("head -c 5000000 /dev/zero | tr '\\0' x >&2\n")).exit == OK
    assert local.log("run", "stderr", 0)[:100] == b"x" * 100


def test_the_rest_of_a_full_pipe_is_kept(local: LocalRunner, finish: Finish) -> None:
    command = ("python", "-S", "-c", "import os; os.write(1, b'x' * 60000); os._exit(7)")
    assert finish(local, RunSpec("run", command)).exit == Exit(ExitReason.EXITED, 7)
    assert len(local.log("run", "stdout", 0)) == 60000


def test_a_fork_bomb_is_defused(local: LocalRunner, finish: Finish) -> None:
    # Doubles every 20 ms, and for a second at most: a failing test must not take the machine with it.
    bomb = "import os, time\nend = time.time() + 1\nwhile time.time() < end:\n    os.fork()\n    time.sleep(0.02)\n"
    end = finish(local, RunSpec("run", ("python", "-S", "-c", bomb))).exit
    assert end == Exit(ExitReason.LIMIT, detail="40 processes")


def test_a_process_that_flees_into_ever_new_sessions_is_caught(local: LocalRunner, finish: Finish) -> None:
    fleeing = """if os.fork():
    time.sleep(60)
end = time.time() + 3
while time.time() < end:
    if os.fork():
        os._exit(0)
    os.setsid()
"""
    command = ("python", "-S", "-c", "import os, time\n" + fleeing)
    state = finish(local, RunSpec("run", command, timeout_s=0.2))
    assert state.exit == Exit(ExitReason.DEADLINE, detail="0.2 s")
    assert state.elapsed_s is not None
    assert state.elapsed_s < 2


def test_a_memory_hog_is_killed(local: LocalRunner, finish: Finish) -> None:
    hog = "import time\nx = bytearray(b'x') * (300 << 20)\ntime.sleep(60)\n"
    end = finish(local, RunSpec("run", ("python", "-S", "-c", hog), memory_mb=100)).exit
    assert end == Exit(ExitReason.MEMORY, detail="100 MiB")


@pytest.mark.parametrize("where", ["$OUT_DIR", "$TMPDIR", "$MEET_DIR/audit"])
def test_a_disk_filler_is_killed(local: LocalRunner, shell: Shell, finish: Finish, where: str) -> None:
    filler = f"while :; do i=$((i+1)); head -c 1000000 /dev/zero > {where}/$i; sleep 0.01; done\n"
    spec = shell(filler, workers=(RunSpec("run.audit", ("sleep", "60")),))
    assert finish(local, spec).exit == Exit(ExitReason.LIMIT, detail="8 MiB of files")


def test_a_folder_hidden_from_the_count_is_over_the_limit(local: LocalRunner, finish: Finish) -> None:
    # As root nothing can be hidden by permissions, but by paths that are too long to name.
    hiding = """import os, time
os.chdir(os.environ["OUT_DIR"])
for _ in range(50):
    os.mkdir("a" * 100)
    os.chdir("a" * 100)
time.sleep(60)
"""
    end = finish(local, RunSpec("run", ("python", "-S", "-c", hiding))).exit
    assert end == Exit(ExitReason.LIMIT, detail="8 MiB of files")


def test_one_file_over_the_limit_cannot_be_written(
    local: LocalRunner, shell: Shell, finish: Finish, tmp_path: Path
) -> None:
    finish(local, shell("head -c 20000000 /dev/zero > $OUT_DIR/big\n"))
    assert 0 < (tmp_path / "runs" / "run" / "out" / "big").stat().st_size <= 8 << 20


def test_a_run_that_ignores_signals_is_killed_all_the_same(local: LocalRunner, shell: Shell, finish: Finish) -> None:
    stubborn = "trap '' TERM INT HUP QUIT\nwhile :; do sleep 60; done\n"
    assert finish(local, shell(stubborn, timeout_s=0.3)).exit == Exit(ExitReason.DEADLINE, detail="0.3 s")


def _name(process: psutil.Process) -> str:
    """Empty for one that has just ended, as a supervisor may."""
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


def test_daemons_do_not_outlive_their_run(
    local: LocalRunner, shell: Shell, finish: Finish, tmp_path: Path, processes_under: ProcessesUnder
) -> None:
    # Another session, orphaned twice, no environment to be known by, and both pipes held open.
    daemon = "( setsid sh -c 'env -i sleep 60 & exec env -i sleep 60' & )\necho started; sleep 0.2\n"
    assert finish(local, shell(daemon)).exit == OK
    assert "sleep" not in map(_name, processes_under(tmp_path))


def test_a_run_sees_nothing_of_the_service_environment(
    local: LocalRunner, finish: Finish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RINGFENCE_OPERATOR_KEY", "secret")
    spec = RunSpec("run", ("cat", "/proc/self/environ"), env={"SEED": "42"}, data={"DATA_DIR": "corpus"})
    finish(local, spec)
    seen = dict(entry.split("=", 1) for entry in local.log("run", "stdout", 0).decode().split("\0") if entry)
    folder = tmp_path / "runs" / "run"
    assert seen.pop("PATH").endswith(":/usr/bin:/sbin:/bin")
    assert seen == {
        "SEED": "42",
        "HOME": f"{folder}/scratch",
        "TMPDIR": f"{folder}/scratch",
        "OUT_DIR": f"{folder}/out",
        "DATA_DIR": f"{tmp_path}/data/corpus",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(Path(runner.__file__).parents[1]),
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": "",
    }


def test_the_supervisor_has_nothing_of_the_service_environment_either(
    local: LocalRunner, finish: Finish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RINGFENCE_OPERATOR_KEY", "secret")
    finish(local, RunSpec("run", ("sh", "-c", "cat /proc/$PPID/environ")))
    assert b"secret" not in local.log("run", "stdout", 0)


def test_a_command_that_cannot_be_started_fails_like_in_a_shell(local: LocalRunner, finish: Finish) -> None:
    end = finish(local, RunSpec("run", ("no-such-command",))).exit
    assert end == Exit(ExitReason.EXITED, 127, detail="cannot start no-such-command: No such file or directory")


def test_missing_data_is_the_hosts_trouble_and_says_what_to_do(local: LocalRunner) -> None:
    with pytest.raises(RunnerError, match=r"'smoke/train'.*ringfence data prepare"):
        local.submit(RunSpec("run", ("true",), data={"DATA_DIR": "smoke/train"}))
    assert local.run_ids() == []


def test_only_plain_files_are_collected(local: LocalRunner, shell: Shell, finish: Finish) -> None:
    tricks = """cd $OUT_DIR
    echo fine > plain; mkdir folder; echo deep > folder/file
    ln -s /etc/passwd link; ln -s /etc links; mkfifo fifo; ln -s plain near
    truncate -s 5000000 sparse
    """
    finish(local, shell(tricks))
    assert local.collect("run", "plain") == b"fine\n"
    assert local.collect("run", "folder/file") == b"deep\n"
    for name in ("link", "links/passwd", "fifo", "near", "folder", "sparse", "plain/x", "none"):
        assert local.collect("run", name) is None, name


def test_a_folder_made_hard_to_delete_is_deleted(local: LocalRunner, finish: Finish, tmp_path: Path) -> None:
    deep = """import os
os.chdir(os.environ["OUT_DIR"])
for _ in range(150):
    os.mkdir("a" * 100)
    os.chdir("a" * 100)
os.chmod(".", 0)
"""
    finish(local, RunSpec("run", ("python", "-S", "-c", deep)))
    local.remove("run")
    assert list((tmp_path / "runs").iterdir()) == []


# What it makes nothing of, as docs/trust.md says: these fail when that changes.


def test_a_run_can_kill_its_supervisor(local: LocalRunner, shell: Shell, finish: Finish) -> None:
    end = finish(local, shell("kill -9 $PPID; sleep 60\n")).exit
    assert end == Exit(ExitReason.LOST, detail="its supervisor broke down: killed")


def test_a_run_can_write_its_own_exit(local: LocalRunner, shell: Shell, finish: Finish) -> None:
    record = '{"reason": "exited", "code": 0, "detail": "", "started_at": 1, "ended_at": 2}'
    state = finish(local, shell(f"echo '{record}' > $OUT_DIR/../exit; kill -9 $PPID; exit 1\n"))
    assert state.exit == OK
    assert state.elapsed_s == 1


def test_a_process_without_kin_or_environment_outlives_a_run_that_kills_its_supervisor(
    local: LocalRunner, shell: Shell, finish: Finish, processes_under: ProcessesUnder, tmp_path: Path
) -> None:
    end = finish(local, shell("env -i setsid sleep 47 & sleep 0.5; kill -9 $PPID; sleep 60\n")).exit
    assert end is not None
    assert end.reason is ExitReason.LOST
    (left,) = processes_under(tmp_path)
    assert left.cmdline() == ["sleep", "47"]
    left.kill()
