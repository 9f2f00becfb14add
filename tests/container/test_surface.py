"""What of the kernel a sandbox reaches, and whether it can tell there what another one does."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from runner.container.runner import DockerRunner
from runner.protocol import Exit, ExitReason, Phase, RunSpec, RunState

pytestmark = [pytest.mark.docker, pytest.mark.slow]
Contain = Callable[..., DockerRunner]

CALLS = """
import ctypes, errno, json, mmap, os, platform, socket, threading
libc = ctypes.CDLL(None, use_errno=True)
numbers = {"x86_64": {"io_uring_setup": 425, "keyctl": 250, "add_key": 248, "bpf": 321, "perf_event_open": 298,
                      "unshare": 272, "setns": 308, "ptrace": 101, "mincore": 27, "userfaultfd": 323, "sync": 162,
                      "name_to_handle_at": 303, "open_by_handle_at": 304, "fanotify_init": 300, "mount": 165,
                      "process_vm_readv": 310, "kcmp": 312, "io_setup": 206, "syncfs": 306, "swapon": 167,
                      "fadvise64": 221, "readahead": 187, "cachestat": 451,
                      "inotify_init": 253, "inotify_init1": 294, "inotify_add_watch": 254},
           }.get(platform.machine(), {})
told = {}
for name, number in numbers.items():
    ctypes.set_errno(0)
    libc.syscall(number, 0, 0, 0, 0, 0)
    told[name] = errno.errorcode.get(ctypes.get_errno(), "allowed")
memory = mmap.mmap(-1, 1 << 16)
for advice in ("REMOVE", "COLD", "PAGEOUT", "POPULATE_READ", "WILLNEED", "DONTNEED", "HUGEPAGE"):
    number = {"COLD": 20, "PAGEOUT": 21, "POPULATE_READ": 22, "HUGEPAGE": 14}.get(advice)
    number = number or getattr(mmap, "MADV_" + advice)
    try:
        memory.madvise(number)
        told["advice " + advice] = "allowed"
    except OSError as error:
        told["advice " + advice] = errno.errorcode[error.errno]
import fcntl, struct
whole = struct.pack("hhqqi4x", 0, 0, 0, 0, 0)
for name, command in (("GETLK", 5), ("SETLK", 6), ("OFD_GETLK", 36), ("OFD_SETLK", 37), ("SETLEASE", 1024)):
    with open("/etc/passwd", "rb") as file:
        try:
            fcntl.fcntl(file, command, whole if command < 1024 else 0)
            told[name] = "allowed"
        except OSError as error:
            told[name] = errno.errorcode[error.errno]
with open("/etc/passwd", "rb") as file:
    told["a copy of a descriptor"] = fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, 50) >= 50
    told["its flags"] = fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE
with open("/etc/passwd", "rb") as file:
    told["plain preadv2"] = os.preadv(file.fileno(), [bytearray(1)], 0)
    try:
        os.preadv(file.fileno(), [bytearray(1)], 0, os.RWF_NOWAIT)
        told["preadv2 without waiting"] = "allowed"
    except OSError as error:
        told["preadv2 without waiting"] = errno.errorcode[error.errno]
def opened(family, kind, protocol=0):
    try:
        socket.socket(family, kind, protocol).close()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "opened"
told["vsock"] = opened(40, socket.SOCK_STREAM)
told["alg"] = opened(38, socket.SOCK_SEQPACKET)
told["packet"] = opened(17, socket.SOCK_RAW)
told["uevent"] = opened(16, socket.SOCK_DGRAM, 15)
told["generic netlink"] = opened(16, socket.SOCK_DGRAM, 16)
told["route"] = opened(16, socket.SOCK_DGRAM, 0)
told["unix"] = opened(1, socket.SOCK_STREAM)
told["inet"] = opened(2, socket.SOCK_STREAM)
told["inet6"] = opened(10, socket.SOCK_STREAM)
done = []
thread = threading.Thread(target=lambda: done.append(1))
thread.start(); thread.join()
told["threads"] = len(done)
child = os.fork()
if child == 0: os._exit(7)
told["fork"] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(json.dumps(told))
"""

LOOK = """
import json, os, sys, time
def seen():
    found = {}
    for top in ("/proc", "/sys"):
        for folder, folders, files in os.walk(top):
            if folder == "/proc":
                folders[:] = [one for one in folders if not one.isdecimal() and one not in ("self", "thread-self")]
            for name in files:
                path = os.path.join(folder, name)
                try:
                    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
                    try:
                        found[path] = os.read(fd, 1 << 16).hex()
                    finally:
                        os.close(fd)
                except OSError:
                    pass
    return found
out = os.environ["OUT_DIR"]
first = seen()
again = seen()  # what moves by itself, and by being looked at
open(os.path.join(out, "ready"), "w").close()
time.sleep(float(sys.argv[1]))
last = seen()
print(json.dumps({
    "read": len(last),
    "moved": sorted(path for path in last if last[path] != again.get(path) and again.get(path) == first.get(path)),
}))
"""

WORK = """
import os, socket, tempfile, threading, time
until = time.monotonic() + 6
kept = []
while time.monotonic() < until:
    kept.append(bytearray(os.urandom(1 << 20)) * 8)
    kept = kept[-20:]
    with tempfile.TemporaryFile() as file:
        file.write(os.urandom(1 << 20))
        file.flush()
        os.fsync(file.fileno())
    pairs = [socket.socketpair() for _ in range(50)]
    for one, other in pairs:
        one.send(b"x" * 5000)
        one.close(); other.close()
    try:
        terminals = [os.openpty() for _ in range(20)]
    except OSError:
        terminals = []
    threads = [threading.Thread(target=time.sleep, args=(0.01,)) for _ in range(40)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    for one, other in terminals:
        os.close(one); os.close(other)
    for _ in range(10):
        child = os.fork()
        if child == 0: os._exit(0)
        os.waitpid(child, 0)
"""

OWN = ("/proc/net/", "/proc/sysvipc/", "/sys/fs/cgroup/", "/proc/sys/kernel/random/")
"""What a sandbox has of its own: its network, its counters. The kernel's random numbers are new at every look."""


def test_calls_and_sockets_that_nobody_needs_are_refused(contain: Contain, finish: Callable[..., RunState]) -> None:
    runner = contain()
    state = finish(runner, RunSpec("calls", ("python", "-c", CALLS)))
    assert state.exit == Exit(ExitReason.EXITED, 0), runner.log("calls", "stderr", 0).decode()
    told: dict[str, Any] = json.loads(runner.log("calls", "stdout", 0))
    assert {name: told.pop(name) for name in ("route", "unix", "inet", "inet6")} == dict.fromkeys(
        ("route", "unix", "inet", "inet6"), "opened"
    )
    assert told.pop("threads") == 1
    assert {told.pop(f"advice {name}") for name in ("WILLNEED", "DONTNEED", "HUGEPAGE")} <= {
        "allowed",
        "EINVAL",
    }  # EINVAL: none
    locks = ("GETLK", "SETLK", "OFD_GETLK", "OFD_SETLK")
    assert {name: told.pop(name) for name in locks} == dict.fromkeys(locks, "ENOLCK")
    assert told.pop("a copy of a descriptor")
    assert told.pop("its flags") == 0
    assert told.pop("plain preadv2") == 1
    assert told.pop("fork") == 7
    assert len(told) >= 5
    assert told == dict.fromkeys(told, "EPERM")


def test_no_file_of_the_kernel_tells_what_another_sandbox_does(
    contain: Contain, finish: Callable[..., RunState]
) -> None:
    runner = contain(slots=2)
    runner.submit(RunSpec("looker", ("python", "-c", LOOK, "7"), timeout_s=120))
    while runner.collect("looker", "ready") is None:
        assert runner.poll("looker").phase is Phase.RUNNING, runner.log("looker", "stderr", 0).decode()
    assert finish(runner, RunSpec("busy", ("python", "-c", WORK), timeout_s=120)).exit == Exit(ExitReason.EXITED, 0)
    state = finish(runner, RunSpec("looker", ("python", "-c", LOOK, "7"), timeout_s=120))
    assert state.exit == Exit(ExitReason.EXITED, 0), runner.log("looker", "stderr", 0).decode()
    told = json.loads(runner.log("looker", "stdout", 0))
    assert told["read"] > 100
    assert [path for path in told["moved"] if not path.startswith(OWN)] == []
