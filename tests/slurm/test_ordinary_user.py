"""The sandbox of jobs that are not root's, as on most clusters: service and jobs of an ordinary user."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import runner
from tests.support.processes import run_to_end
from tests.support.slurm import SlurmCluster, wait_for_no_jobs, write_image

pytestmark = pytest.mark.slurm

USER = 65534
"""Slurm wants one that has a name: nobody."""
SERVICE = """
import json, os, sys, time
from pathlib import Path
from runner.protocol import Phase, RunSpec
from runner.slurm.cluster import Cluster
from runner.slurm.runner import SlurmRunner

folder, python, image, node = map(Path, sys.argv[1:5])
cluster = Cluster(
    folder=folder, image=str(image), python=str(python), node_folder=node,
    binds={"/usr": "/usr", "/usr/bin/python3": "/opt/bin/python"},
    environment={"PATH": "/opt/bin:/usr/bin:/bin"}, cpus=1, processes=40,
)
(folder / "data").mkdir()
one = SlurmRunner(folder / "runs", folder / "data", cluster)
told = {}
for name, (script, more) in json.loads(sys.stdin.read()).items():
    worker = RunSpec(f"{name}.audit", ("python3", "-S", "-c", more.pop("worker", "import time; time.sleep(60)")))
    one.submit(RunSpec(name, ("python3", "-S", "-c", script), workers=(worker,), **more))
for name in one.run_ids():
    end = time.monotonic() + 60
    while one.poll(name).phase is not Phase.ENDED and time.monotonic() < end:
        time.sleep(0.05)
    state = one.poll(name)
    ended = None if state.exit is None else [state.exit.reason, state.exit.code, state.exit.detail]
    told[name] = [ended, *(one.log(name, stream, 0).decode() for stream in ("stdout", "stderr"))]
    one.remove(name)
told["lacks"] = [lack.wall for lack in one.lacks()]
print(json.dumps(told))
"""
LOOK = """
import json, os, socket
def refused(what, *arguments):
    try:
        what(*arguments)
    except OSError as error:
        return type(error).__name__
    return "done"
writable = []
for top, folders, _ in os.walk("/"):
    folders[:] = [name for name in folders if os.path.join(top, name) not in ("/proc", "/sys", "/usr")]
    try:
        open(os.path.join(top, ".trial"), "w").close()
        writable.append(top)
    except OSError:
        pass
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
with socket.create_server(("127.0.0.1", 0)) as own:
    loopback = refused(socket.create_connection, own.getsockname(), 2)
print(json.dumps({
    "ids": [os.getuid(), os.getgid()],
    "caps": sorted({status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}),
    "strict": [status["NoNewPrivs"], status["Seccomp"]],
    "writable": sorted(writable),
    "interfaces": [name for _, name in socket.if_nameindex()],
    "loopback": loopback,
    "internet": refused(socket.create_connection, ("192.0.2.1", 80), 2),
    "namespaces": refused(os.unshare, 0x10000000) if hasattr(os, "unshare") else "PermissionError",
    "processes": sum(name.isdigit() for name in os.listdir("/proc")),
    "counters": len(open("/proc/meminfo").read() + open("/proc/uptime").read()),
    "of the host": [path for path in (HOST) if os.path.exists(path)],
    "environment": sorted(os.environ),
}))
"""
HOG = "import time\nopen('/dev/shm/x', 'wb').write(b'x' * (200 << 20))\ntime.sleep(60)\n"
BOMB = """import os, time
for n in range(100):
    try:
        if os.fork() == 0:
            time.sleep(60)
    except OSError as error:
        print(n, error.strerror)
        break
"""
MEETING = """import os, socket
folder = os.open(os.environ["MEET_DIR"] + "/audit", os.O_RDONLY)
server = socket.socket(socket.AF_UNIX)
server.bind(f"/proc/self/fd/{folder}/socket")
server.listen()
print(server.accept()[0].recv(100).decode())
"""
ANSWER = """import os, socket, time
while True:
    try:
        one = socket.socket(socket.AF_UNIX)
        one.connect(os.environ["MEET_DIR"] + "/socket")
        break
    except OSError:
        time.sleep(0.02)
one.sendall(b"hello")
time.sleep(60)
"""


@pytest.fixture
def place(slurm: SlurmCluster) -> Iterator[Path]:
    """A folder of the user's, with a Python that the user can start and what the runner needs."""
    system = Path("/usr/bin/python3")
    with tempfile.TemporaryDirectory(prefix="ringfence-user-") as name:
        folder = Path(name)
        shutil.copytree(Path(runner.__file__).parent, folder / "lib" / "runner")
        shutil.copytree(Path(psutil.__file__).parent, folder / "lib" / "psutil")
        python = folder / "python"
        python.write_text(f'#!/bin/sh\nPYTHONPATH={folder}/lib exec {system} "$@"\n')
        python.chmod(0o755)
        write_image(folder / "image")
        for top, _, files in os.walk(folder):
            for one in (top, *(os.path.join(top, each) for each in files)):  # noqa: PTH118
                os.chown(one, USER, USER, follow_symlinks=False)
        yield folder
        wait_for_no_jobs(slurm)


def test_jobs_of_an_ordinary_user_are_held_as_tightly(place: Path, slurm: SlurmCluster) -> None:
    shared = place / "shared"
    shared.mkdir(mode=0o700)
    os.chown(shared, USER, USER)
    runs: dict[str, Any] = {
        "look": [LOOK.replace("HOST", f"'{place}', '{sys.prefix}', '/home', '/root', '/etc/shadow'"), {}],
        "hog": [HOG, {"memory_mb": 100}],
        "bomb": [BOMB, {"timeout_s": 20}],
        "meeting": [MEETING, {"worker": ANSWER}],
    }
    command = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", str(place / "python"), "-c", SERVICE]
    folders = [shared, place / "python", place / "image", place / "node"]
    done = run_to_end(
        [
            "sh",
            "-c",
            'exec "$@" <"$0"',
            str(_written(place / "runs.json", json.dumps(runs))),
            *command,
            *map(str, folders),
        ],
        env={"PATH": os.environ["PATH"], "SLURM_CONF": str(slurm.conf), "HOME": "/"},
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    ended, printed, complaint = told["look"]
    assert ended == ["exited", 0, ""], complaint
    seen = json.loads(printed)
    assert 0 not in seen["ids"]
    assert USER not in seen["ids"]
    assert seen["caps"] == ["0" * 16]
    assert seen["strict"] == ["1", "2"]
    assert seen["writable"] == ["/dev/shm", "/ringfence/meet/audit", "/ringfence/out", "/tmp"]
    assert (seen["interfaces"], seen["loopback"]) == (["lo"], "done")
    assert seen["internet"] == "OSError"
    assert seen["namespaces"] == "PermissionError"
    assert (seen["processes"], seen["counters"], seen["of the host"]) == (2, 0, [])
    assert not [name for name in seen["environment"] if name.startswith(("SLURM", "RINGFENCE"))]
    assert told["hog"][0] == ["memory", None, "100 MiB"]
    assert told["bomb"][0] == ["exited", 0, ""]
    assert told["bomb"][1].endswith("Resource temporarily unavailable\n")
    assert told["meeting"][:2] == [["exited", 0, ""], "hello\n"]
    assert "user ids" in told["lacks"]
    assert not any((place / "node").iterdir())


def _written(file: Path, text: str) -> Path:
    file.write_text(text)
    return file
