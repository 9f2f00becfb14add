"""What a run can do to a host, and what the sandbox makes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runner.container.runner import DockerRunner
from runner.protocol import Exit, ExitReason, RunnerError, RunSpec, RunState

pytestmark = pytest.mark.docker
Contain = Callable[..., DockerRunner]
Finish = Callable[..., RunState]

OK = Exit(ExitReason.EXITED, 0)


def sh(script: str, **more: object) -> RunSpec:
    return RunSpec("run", ("sh", "-c", script), **more)  # type: ignore[arg-type]


def py(script: str, **more: object) -> RunSpec:
    return RunSpec("run", ("python", "-S", "-c", script), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("flood", ["yes | head -c 2000000000", "head -c 2000000000 /dev/zero"])
def test_a_flood_of_output_is_stopped_early_and_its_beginning_kept(
    contain: Contain, finish: Finish, flood: str, tmp_path: Path
) -> None:
    runner = contain(output_mb=4)
    state = finish(runner, sh(f"echo the beginning; {flood}; echo the end"))
    assert state.exit == Exit(ExitReason.LIMIT, detail="4 MiB of output")
    assert runner.log("run", "stdout", 0).startswith(b"the beginning\n")
    assert (tmp_path / "runs" / "run" / "stdout").stat().st_size <= 4 << 20


def test_one_huge_line_arrives_whole(contain: Contain, finish: Finish) -> None:
    runner = contain()
    assert finish(runner, sh("head -c 5000000 /dev/zero | tr '\\0' x >&2")).exit == OK
    seen = b""
    while piece := runner.log("run", "stderr", len(seen)):
        seen += piece
    assert seen == b"x" * 5_000_000


def test_a_burst_of_lines_arrives_whole_and_in_order(contain: Contain, finish: Finish) -> None:
    runner = contain()
    assert finish(runner, sh("seq 20000; seq 20000 >&2")).exit == OK
    expected = b"".join(b"%d\n" % n for n in range(1, 20001))
    assert runner.log("run", "stdout", 0) == expected
    assert runner.log("run", "stderr", 0) == expected


def test_a_fork_bomb_runs_into_the_limit(contain: Contain, finish: Finish) -> None:
    # One process at a time, and a hundred at most: a failing test must not take the machine with it.
    bomb = """import os, time
for n in range(100):
    try:
        if os.fork() == 0:
            time.sleep(60)
    except OSError as error:
        print(n, error.strerror)
        break
"""
    runner = contain(processes=40)
    assert finish(runner, py(bomb, timeout_s=10)).exit == OK
    number, complaint = runner.log("run", "stdout", 0).decode().split(" ", 1)
    assert 30 < int(number) < 40
    assert complaint == "Resource temporarily unavailable\n"


def test_a_memory_hog_is_killed(contain: Contain, finish: Finish) -> None:
    hog = "import time\nx = bytearray(b'x') * (300 << 20)\ntime.sleep(60)\n"
    assert finish(contain(), py(hog, memory_mb=100)).exit == Exit(ExitReason.MEMORY, detail="100 MiB")


def test_a_hog_that_is_only_one_process_of_the_run_is_told_as_such(contain: Contain, finish: Finish) -> None:
    hog = "python -S -c \"x = bytearray(b'x') * (300 << 20)\" || exit 1"
    assert finish(contain(), sh(hog, memory_mb=100)).exit == Exit(ExitReason.MEMORY, detail="100 MiB")


@pytest.mark.parametrize("where", ["/tmp", "/dev/shm"])
def test_files_in_memory_count_as_memory(contain: Contain, finish: Finish, where: str) -> None:
    assert finish(contain(), sh(f"head -c 200000000 /dev/zero > {where}/x; sleep 60", memory_mb=100)).exit == Exit(
        ExitReason.MEMORY, detail="100 MiB"
    )


def test_a_small_scratch_is_just_full(contain: Contain, finish: Finish) -> None:
    runner = contain(tmp_mb=8)
    finish(runner, sh("head -c 20000000 /dev/zero > /tmp/x; stat -c %s /tmp/x"))
    assert runner.log("run", "stdout", 0) == b"%d\n" % (8 << 20)


def test_a_disk_filler_is_killed(contain: Contain, finish: Finish) -> None:
    filler = "while :; do i=$((i+1)); head -c 1000000 /dev/zero > $OUT_DIR/$i; sleep 0.01; done"
    assert finish(contain(disk_mb=8), sh(filler)).exit == Exit(ExitReason.LIMIT, detail="8 MiB of files")


def test_rendezvous_folders_count_as_output(contain: Contain, finish: Finish) -> None:
    filler = "while :; do i=$((i+1)); head -c 1000000 /dev/zero > $MEET_DIR/audit/$i; sleep 0.01; done"
    spec = sh(filler, workers=(RunSpec("run.audit", ("sleep", "60")),))
    assert finish(contain(disk_mb=8), spec).exit == Exit(ExitReason.LIMIT, detail="8 MiB of files")


def test_one_file_over_the_limit_cannot_be_written(contain: Contain, finish: Finish, tmp_path: Path) -> None:
    finish(contain(disk_mb=8), sh("head -c 20000000 /dev/zero > $OUT_DIR/big"))
    assert 0 < (tmp_path / "runs" / "run" / "out" / "big").stat().st_size <= 8 << 20


def test_a_run_that_ignores_signals_is_killed_all_the_same(contain: Contain, finish: Finish) -> None:
    stubborn = "trap '' TERM INT HUP QUIT; while :; do sleep 60; done"
    state = finish(contain(), sh(stubborn, timeout_s=0.3))
    assert state.exit == Exit(ExitReason.DEADLINE, detail="0.3 s")
    assert state.elapsed_s is not None
    assert state.elapsed_s < 3


def test_daemons_do_not_outlive_their_run(contain: Contain, finish: Finish) -> None:
    # Another session, orphaned twice, and both pipes held open.
    runner = contain()
    assert finish(runner, sh("( setsid sh -c 'sleep 1234 & exec sleep 1234' & ); echo started; sleep 0.2")).exit == OK
    assert runner.log("run", "stdout", 0) == b"started\n"
    assert [path for path in Path("/proc").glob("[0-9]*/cmdline") if _read(path) == b"sleep\x001234\x00"] == []


def test_a_command_that_cannot_be_started_fails_like_in_a_shell(contain: Contain, finish: Finish) -> None:
    runner = contain()
    assert finish(runner, RunSpec("run", ("no-such-command",))).exit == Exit(ExitReason.EXITED, 127)
    assert b"no-such-command" in runner.log("run", "stderr", 0)


def test_the_shortest_of_runs_takes_time(contain: Contain, finish: Finish) -> None:
    runner = contain(slots=8)
    names = [f"run{n}" for n in range(8)]
    for name in names:
        runner.submit(RunSpec(name, ("true",)))
    for name in names:
        state = finish(runner, RunSpec(name, ("true",)))
        assert state.elapsed_s is not None
        assert state.elapsed_s > 0


def test_only_plain_files_are_collected(contain: Contain, finish: Finish) -> None:
    tricks = """cd $OUT_DIR
    echo fine > plain; mkdir folder; echo deep > folder/file
    ln -s /etc/passwd link; ln -s /etc links; mkfifo fifo; ln -s plain near
    truncate -s 5000000 sparse
    """
    runner = contain()
    finish(runner, sh(tricks))
    assert runner.collect("run", "plain") == b"fine\n"
    assert runner.collect("run", "folder/file") == b"deep\n"
    for name in ("link", "links/passwd", "fifo", "near", "folder", "sparse", "plain/x", "none"):
        assert runner.collect("run", name) is None, name


def test_missing_data_is_the_hosts_trouble_and_says_what_to_do(contain: Contain) -> None:
    runner = contain()
    with pytest.raises(RunnerError, match=r"'smoke/train'.*ringfence data prepare"):
        runner.submit(RunSpec("run", ("true",), data={"DATA_DIR": "smoke/train"}))
    assert runner.run_ids() == []


def test_a_missing_image_says_what_to_do(contain: Contain) -> None:
    with pytest.raises(RunnerError, match=r"no image ringfence-test:none: build it"):
        contain(image="ringfence-test:none")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_files_without_a_name_count(contain: Contain, finish: Finish) -> None:
    script = """
import mmap, os, time
held = []
for name in "abcd":
    file = os.open(f"/ringfence/out/{name}", os.O_RDWR | os.O_CREAT)
    os.write(file, b"x" * (5 << 20))
    if name in "ab":
        held.append(mmap.mmap(file, 0))
        os.close(file)
    os.unlink(f"/ringfence/out/{name}")
time.sleep(60)
"""
    state = finish(contain(disk_mb=16), RunSpec("run", ("python3", "-S", "-c", script)))
    assert state.exit == Exit(ExitReason.LIMIT, detail="16 MiB of files")
