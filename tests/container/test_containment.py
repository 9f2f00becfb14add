"""What can be seen and reached from inside the sandbox, told by programs that run there."""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.container.runner import DockerRunner
from runner.protocol import Exit, ExitReason, RunSpec, RunState

pytestmark = pytest.mark.docker
Contain = Callable[..., DockerRunner]
Inside = Callable[..., Any]

OK = Exit(ExitReason.EXITED, 0)


@pytest.fixture
def inside(contain: Contain, finish: Callable[..., RunState]) -> Inside:
    """`inside(script)` runs Python in a sandbox and returns what it passes to `tell`."""
    runner = contain()

    def run(script: str, run_id: str = "run", **more: Any) -> Any:
        telling = "import json, os, socket\ndef tell(it): print(json.dumps(it))\n"
        state = finish(runner, RunSpec(run_id, ("python", "-c", telling + script), **more))
        assert state.exit == OK, runner.log(run_id, "stderr", 0).decode()
        return json.loads(runner.log(run_id, "stdout", 0))

    return run


def test_there_is_no_network_but_loopback(inside: Inside) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # of the host: another loopback
        tries = f"""
def attempt(*address):
    try:
        socket.create_connection(address, timeout=2).close()
    except OSError as error:
        return type(error).__name__
    return "connected"

with socket.create_server(("127.0.0.1", 0)) as own:
    tell({{
        "interfaces": [name for _, name in socket.if_nameindex()],
        "loopback": attempt(*own.getsockname()),
        "own name": attempt(socket.gethostname(), own.getsockname()[1]),
        "host's loopback": attempt("127.0.0.1", {server.getsockname()[1]}),
        "internet": attempt("192.0.2.1", 80),
        "names": attempt("example.org", 80),
    }})
"""
        seen = inside(tries)
    assert seen["loopback"] == seen["own name"] == "connected"
    assert seen["host's loopback"] == "ConnectionRefusedError"
    assert seen["internet"] == "OSError"
    assert seen["names"] == "gaierror"
    assert "lo" in seen["interfaces"]
    assert not [name for name in seen["interfaces"] if name.startswith(("eth", "en", "docker", "veth"))]


def test_two_processes_reduce_over_gloo(contain: Contain, finish: Callable[..., RunState]) -> None:
    script = """import os, torch, torch.distributed as dist
dist.init_process_group("gloo")
x = torch.full((3,), float(dist.get_rank() + 1))
dist.all_reduce(x)
if dist.get_rank() == 0:
    open(os.environ["OUT_DIR"] + "/sum", "w").write(str(x.tolist()))
dist.barrier()
os._exit(0)
"""
    launch = """for rank in 0 1; do
    RANK=$rank WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=29500 OMP_NUM_THREADS=1 python reduce.py & pids="$pids $!"
done
for pid in $pids; do wait $pid || exit 1; done
"""
    runner = contain()
    spec = RunSpec("run", ("sh", "launch.sh"), files={"reduce.py": script, "launch.sh": launch}, timeout_s=60)
    state = finish(runner, spec)
    assert state.exit == OK, runner.log("run", "stderr", 0).decode()
    assert runner.collect("run", "sum") == b"[3.0, 3.0, 3.0]"


def test_it_is_nobody_special(inside: Inside) -> None:
    seen = inside("""
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
tell({"ids": [os.getresuid(), os.getresgid()], "status": status})
""")
    assert 0 not in [number for ids in seen["ids"] for number in ids]
    status = seen["status"]
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"


WHO_IS_THERE = """
counters = ["loadavg", "locks", "meminfo", "stat", "uptime", "vmstat", "sys/fs/file-nr", "sys/fs/inode-state"]
def count(name):
    try:
        return open("/proc/" + name).read()
    except FileNotFoundError:
        return ""
tell({"uid": os.getuid(), "counters": "".join(map(count, counters))})
"""


def test_two_sandboxes_share_no_user_and_no_counter_of_the_host(inside: Inside) -> None:
    first, second = inside(WHO_IS_THERE, run_id="first"), inside(WHO_IS_THERE, run_id="second")
    assert first["counters"] == second["counters"] == ""
    if os.getuid() == 0:
        assert first["uid"] != second["uid"]


def test_what_one_run_kept_to_itself_is_read_by_the_run_that_builds_on_it(inside: Inside) -> None:
    inside("os.umask(0o077); open(os.environ['OUT_DIR'] + '/weights', 'w').write('kept'); tell(1)", run_id="first")
    read = "tell(open(os.environ['INPUT_DIR'] + '/weights').read())"
    assert inside(read, run_id="second", upstream="first") == "kept"


def test_it_cannot_become_somebody(inside: Inside) -> None:
    seen = inside("""
import subprocess
tries = (["unshare", "--user", "--map-root-user", "true"], ["mount", "-t", "tmpfs", "x", "/tmp"],
         ["/usr/sbin/chroot", "/", "true"], ["su", "-c", "true"])
tell([subprocess.run(one, capture_output=True, stdin=subprocess.DEVNULL).returncode for one in tries])
""")
    assert all(seen), seen


def test_only_its_output_and_memory_can_be_written(inside: Inside) -> None:
    writable = inside("""
found = []
for top, folders, _ in os.walk("/"):
    folders[:] = [name for name in folders if os.path.join(top, name) not in ("/proc", "/sys", "/usr")]
    try:
        with open(os.path.join(top, ".trial"), "w"):
            found.append(top)
    except OSError:
        pass
tell(found)
""")
    # /dev/mqueue is in memory as well, and the sandbox's own.
    assert set(writable) - {"/dev/mqueue"} == {"/tmp", "/dev/shm", "/ringfence/out"}


def test_the_root_could_not_even_be_written_by_root(inside: Inside) -> None:
    options = inside("tell([line.split()[3] for line in open('/proc/mounts') if line.split()[1] == '/'])")
    assert [option.split(",")[0] for option in options] == ["ro"]


def test_what_it_is_given_is_read_only(inside: Inside, tmp_path: Path) -> None:
    (tmp_path / "data" / "corpus" / "tokens").write_text("tokens")
    inside("open(os.environ['OUT_DIR'] + '/weights', 'w').write('weights'); tell(1)", run_id="first")
    seen = inside(
        """
def overwrite(path):
    kept = open(path).read()
    try:
        open(path, "w")
    except OSError as error:
        return [kept, error.strerror]

tell([overwrite(path) for path in (
    os.environ["INPUT_DIR"] + "/weights", os.environ["DATA_DIR"] + "/tokens", "folder/train.py",
)])
""",
        run_id="second",
        upstream="first",
        data={"DATA_DIR": "corpus"},
        files={"folder/train.py": "script"},
    )
    assert seen == [[kept, "Read-only file system"] for kept in ("weights", "tokens", "script")]


def test_nothing_of_the_host_or_of_other_runs_is_in_sight(inside: Inside, tmp_path: Path) -> None:
    (tmp_path / "runs" / "secret.db").write_text("tokens of everybody")
    (tmp_path / "data" / "heldout").mkdir()
    inside("open(os.environ['OUT_DIR'] + '/mine-alone', 'w').write('x'); tell(1)", run_id="other")
    seen = inside(
        f"""
names = []
for top, folders, files in os.walk("/"):
    folders[:] = [name for name in folders if os.path.join(top, name) not in ("/proc", "/sys", "/usr")]
    names += folders + files
tell({{
    "names": sorted(set(names) & {{"secret.db", "mine-alone", "heldout", "docker.sock", "dockerd.pid", "shadow"}}),
    "host": [path for path in ("{tmp_path}", "/var/run", "/home", "/boot", "/etc/ssl") if os.path.exists(path)],
    "ringfence": sorted(os.listdir("/ringfence")),
}})
"""
    )
    (tmp_path / "runs" / "secret.db").unlink()
    assert seen == {"names": [], "host": [], "ringfence": ["out", "work"]}


def test_a_run_and_its_workers_see_of_each_other_only_where_they_meet(
    contain: Contain, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    look = """import json, os, time
meet = os.environ["MEET_DIR"]
open(os.environ["OUT_DIR"] + "/mine", "w").close()

def refusal(change, *arguments):
    try:
        change(*arguments)
    except OSError as error:
        return error.strerror

def tell(**more):
    os.chdir("/ringfence")
    found = (os.path.join(top, name)[2:] for top, folders, files in os.walk(".") for name in folders + files)
    print(json.dumps({"paths": sorted(found), **more}), flush=True)
"""
    main = """for name in ("audit", "score"):
    open(f"{meet}/{name}/for-{name}", "w").close()
changes = (os.rename, meet + "/audit", meet + "/moved"), (os.mkdir, meet + "/new"), (os.symlink, "/", meet + "/link")
tell(refusals=[refusal(*change) for change in changes])
time.sleep(60)
"""
    serve = """while not os.listdir(meet):
    time.sleep(0.01)
tell(refusals=[refusal(open, meet + "/new", "w"), refusal(os.unlink, f"{meet}/{os.listdir(meet)[0]}")])
"""
    workers = [RunSpec(f"run.{name}", ("python", "-S", "-c", look + serve)) for name in ("audit", "score")]
    runner = contain()
    runner.submit(RunSpec("run", ("python", "-S", "-c", look + main), files={"script": ""}, workers=tuple(workers)))
    names = ("run", "run.audit", "run.score")
    eventually(lambda: all(runner.log(name, "stdout", 0).endswith(b"\n") for name in names))
    of_run, of_audit, of_score = (json.loads(runner.log(name, "stdout", 0)) for name in names)
    places = ["meet/audit", "meet/audit/for-audit", "meet/score", "meet/score/for-score"]
    assert of_run["paths"] == ["meet", *places, "out", "out/mine", "work", "work/script"]
    assert of_run["refusals"] == ["Read-only file system"] * 3
    assert of_audit["paths"] == ["meet", "meet/for-audit", "out", "out/mine", "work"]
    assert of_score["paths"] == ["meet", "meet/for-score", "out", "out/mine", "work"]
    assert of_audit["refusals"] == of_score["refusals"] == ["Read-only file system"] * 2


def test_no_device_of_the_host_is_in_sight(inside: Inside) -> None:
    seen = inside("""
paths = [os.path.join(top, name) for top, _, names in os.walk("/dev") for name in names]
tell([[path, os.stat(path).st_mode] for path in paths if os.path.exists(path)])
""")
    assert not [path for path, mode in seen if stat.S_ISBLK(mode)]
    devices = {path.removeprefix("/dev/") for path, mode in seen if stat.S_ISCHR(mode)}
    assert devices <= {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts/ptmx", "stdin"}


def test_the_environment_holds_nothing_of_the_service(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGFENCE_OPERATOR_KEY", "secret")
    # Not os.environ: Python adds a locale to its own.
    tell = "tell(dict(entry.split('=', 1) for entry in open('/proc/self/environ').read().split('\\0') if entry))"
    seen = inside(tell, env={"SEED": "42"}, data={"DATA_DIR": "corpus"})
    assert seen.pop("PATH").endswith(":/usr/bin:/bin")
    assert seen == {
        "SEED": "42",
        "HOME": "/tmp",
        "TMPDIR": "/tmp",
        "USER": "runner",
        "HOSTNAME": "localhost",
        "OUT_DIR": "/ringfence/out",
        "DATA_DIR": "/ringfence/data/DATA_DIR",
        "NVIDIA_VISIBLE_DEVICES": "void",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
    }


def test_processes_of_other_runs_are_out_of_sight(inside: Inside, contain: Contain) -> None:
    contain().submit(RunSpec("other", ("sleep", "4321")))
    seen = inside("""
tell([open(f"/proc/{pid}/cmdline").read().split("\\0")[0] for pid in os.listdir("/proc") if pid.isdigit()])
""")
    assert seen == ["sh", "python"]  # who waits for it, and itself


def test_orphans_are_reaped_and_leave_nothing(inside: Inside) -> None:
    seen = inside("""
import subprocess, time
for _ in range(20):
    subprocess.run(["sh", "-c", "sleep 0.1 & exit 0"], check=True)
time.sleep(1)
states = [open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] for pid in os.listdir("/proc") if pid.isdigit()]
tell([len(states), states.count("Z")])
""")
    assert seen == [2, 0]
