"""The containment and the hostile runs of the container runner's tests, on bubblewrap's sandbox."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from runner.protocol import Exit, ExitReason, RunSpec, RunState
from runner.slurm.runner import SlurmRunner
from tests.container.test_containment import (  # noqa: F401 - tests
    test_a_run_and_its_workers_see_of_each_other_only_where_they_meet,
    test_it_cannot_become_somebody,
    test_it_is_nobody_special,
    test_no_device_of_the_host_is_in_sight,
    test_nothing_of_the_host_or_of_other_runs_is_in_sight,
    test_only_its_output_and_memory_can_be_written,
    test_the_root_could_not_even_be_written_by_root,
    test_there_is_no_network_but_loopback,
    test_two_processes_reduce_over_gloo,
    test_two_sandboxes_share_no_user_and_no_counter_of_the_host,
    test_what_it_is_given_is_read_only,
    test_what_one_run_kept_to_itself_is_read_by_the_run_that_builds_on_it,
)
from tests.container.test_hostile import (  # noqa: F401
    test_a_burst_of_lines_arrives_whole_and_in_order,
    test_a_command_that_cannot_be_started_fails_like_in_a_shell,
    test_a_disk_filler_is_killed,
    test_a_fork_bomb_runs_into_the_limit,
    test_a_memory_hog_is_killed,
    test_a_run_that_ignores_signals_is_killed_all_the_same,
    test_a_small_scratch_is_just_full,
    test_daemons_do_not_outlive_their_run,
    test_files_in_memory_count_as_memory,
    test_files_without_a_name_count,
    test_one_file_over_the_limit_cannot_be_written,
    test_only_plain_files_are_collected,
    test_rendezvous_folders_count_as_output,
)
from tests.container.test_surface import test_calls_and_sockets_that_nobody_needs_are_refused  # noqa: F401

pytestmark = pytest.mark.slurm
OnSlurm = Callable[..., SlurmRunner]
Inside = Callable[..., Any]
Finish = Callable[..., RunState]


def test_the_environment_holds_nothing_of_the_service_nor_of_slurm(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RINGFENCE_OPERATOR_KEY", "secret")
    tell = "tell(dict(entry.split('=', 1) for entry in open('/proc/self/environ').read().split('\\0') if entry))"
    seen = inside(tell, env={"SEED": "42"}, data={"DATA_DIR": "corpus"})
    assert seen.pop("PATH").endswith(":/usr/bin:/bin")
    seen.pop("PWD", None)
    assert seen == {
        "SEED": "42",
        "HOME": "/tmp",
        "TMPDIR": "/tmp",
        "USER": "runner",
        "OUT_DIR": "/ringfence/out",
        "DATA_DIR": "/ringfence/data/DATA_DIR",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": "1",
    }


def test_processes_of_other_runs_are_out_of_sight_and_no_file_of_its_maker_is_open(
    inside: Inside, on_slurm: OnSlurm
) -> None:
    on_slurm().submit(RunSpec("other", ("sleep", "4321")))
    seen = inside("""
processes = [open(f"/proc/{pid}/cmdline").read().split("\\0")[0] for pid in os.listdir("/proc") if pid.isdigit()]
def names(pid):
    try:
        return [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        return []
tell({"processes": processes, "open": names(1) + names("self")})
""")
    assert len(seen["processes"]) == 2
    assert "bwrap" in seen["processes"][0]
    allowed = ("/dev/null", "pipe:", "anon_inode:", "/proc/")
    assert [name for name in seen["open"] if not name.startswith(allowed)] == []


def test_memory_without_a_process_or_a_name_counts(contain: OnSlurm, finish: Finish) -> None:
    hog = """import os, time
held = os.memfd_create("held")
for _ in range(300): os.write(held, b"x" * (1 << 20))
time.sleep(60)
"""
    state = finish(contain(disk_mb=1000), RunSpec("run", ("python", "-S", "-c", hog), memory_mb=100))
    assert state.exit == Exit(ExitReason.MEMORY, detail="100 MiB")


def test_what_belongs_to_no_process_cannot_be_made(inside: Inside) -> None:
    seen = inside("""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
tell([libc.shmget(0, 1 << 20, 0o1600), libc.msgget(0, 0o1600)])
""")
    assert seen == [-1, -1]


def test_a_thread_bomb_runs_into_the_limit(contain: OnSlurm, finish: Finish) -> None:
    bomb = """import threading, time
for n in range(200):
    try:
        threading.Thread(target=time.sleep, args=(5,), daemon=True).start()
    except RuntimeError:
        print(n, flush=True)
        break
import os
os._exit(0)
"""
    runner = contain(processes=40)
    assert finish(runner, RunSpec("run", ("python", "-S", "-c", bomb))).exit == Exit(ExitReason.EXITED, 0)
    assert 30 < int(runner.log("run", "stdout", 0)) < 40


def test_a_flood_of_output_costs_no_disk_and_keeps_both_ends(contain: OnSlurm, finish: Finish) -> None:
    runner = contain(output_mb=1)
    script = "echo the beginning; yes | head -c 50000000; echo the end"
    assert finish(runner, RunSpec("run", ("sh", "-c", script))).exit == Exit(ExitReason.EXITED, 0)
    printed = runner.log("run", "stdout", 0, 10 << 20)
    assert printed.startswith(b"the beginning\n")
    assert printed.endswith(b"the end\n")
    assert len(printed) < 2 << 20


def test_an_exam_is_seen_by_its_run_alone(on_slurm: OnSlurm, finish: Finish) -> None:
    runner = on_slurm()
    listing = ("python", "-S", "-c", "import json, os; print(json.dumps(sorted(os.listdir('/ringfence'))))")
    worker = RunSpec("run.audit", listing)
    main = ("sh", "-c", f'{" ".join(listing[:3])} "{listing[3]}"; sleep 1')
    spec = RunSpec("run", main, exam="smoke", env={"BLOCK_SIZE": "64"}, workers=(worker,))
    state = finish(runner, spec)
    told = json.loads(runner.log("run", "stdout", 0))
    assert ("exam" in told) == (state.no_exam == "")
    assert "exam" not in json.loads(runner.log("run.audit", "stdout", 0))
