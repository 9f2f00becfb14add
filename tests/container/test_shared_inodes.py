"""What one sandbox can change of a file that another sees as well, and whether the other can tell.

The kernel ties locks, times and cached facts to an inode. Files of the image are inodes of each sandbox's own, for the
engine lays a layer of its own over them; what is bound in from the host is the same one everywhere.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

import runner.container.runner
from runner.container.runner import DockerRunner
from runner.container.sandbox import Sandbox
from runner.protocol import Phase, RunSpec

pytestmark = [pytest.mark.docker, pytest.mark.slow]
Contain = Callable[..., DockerRunner]

MOUNTED = """
import json, os
found = {}
for line in open("/proc/self/mountinfo"):
    place = line.split()[4]
    try:
        about = os.stat(place)
    except OSError:
        continue
    found[place] = [about.st_dev, about.st_ino]
found["/etc/passwd"] = [os.stat("/etc/passwd").st_dev, os.stat("/etc/passwd").st_ino]
print(json.dumps(found), flush=True)
"""

CHANGES = """
import errno, fcntl, json, os, sys, time
def attempted(call):
    try:
        call()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"
def seen(file):
    about = os.fstat(file.fileno())
    state = bytearray(4)
    free = attempted(lambda: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)) == "done"
    fcntl.flock(file, fcntl.LOCK_UN)
    return {
        "locked": not free,
        "times": [about.st_atime_ns, about.st_mtime_ns, about.st_ctime_ns],
        "size": [about.st_size, about.st_blocks, about.st_nlink],
        "attributes": attempted(lambda: os.listxattr(file.fileno())),
        "extents are known": attempted(lambda: fcntl.ioctl(file, 0x40046629, state)) + state.hex(),
    }
file = open(sys.argv[2], "rb")
if sys.argv[1] == "look":
    print(json.dumps(seen(file)), flush=True)
else:
    told = {
        "flock": attempted(lambda: fcntl.flock(file, fcntl.LOCK_EX)),
        "lease": attempted(lambda: fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)),
        "notice": attempted(lambda: fcntl.fcntl(file, fcntl.F_NOTIFY, 1)),
        "write hint": attempted(lambda: fcntl.fcntl(file, 1036, b"\\x02" + bytes(7))),
        "extents": attempted(lambda: fcntl.ioctl(file, 0x6612)),
        "flags": attempted(lambda: fcntl.ioctl(file, 0x40086602, b"\\x40" + bytes(7))),
        "times": attempted(lambda: os.utime(sys.argv[2], (1, 1))),
        "attribute": attempted(lambda: os.setxattr(sys.argv[2], "user.a", b"b")),
        "mode": attempted(lambda: os.chmod(sys.argv[2], 0o600)),
    }
    file.read()
    print(json.dumps(told), flush=True)
"""


def told(sandboxes: DockerRunner, name: str, script: str, *arguments: str) -> dict[str, Any]:
    """What a sandbox prints that then lives on."""
    sandboxes.submit(
        RunSpec(name, ("python", "-c", script + "import time; time.sleep(60)\n", *arguments), timeout_s=90)
    )
    while not (printed := sandboxes.log(name, "stdout", 0)).endswith(b"\n"):
        assert sandboxes.poll(name).phase is not Phase.ENDED, sandboxes.log(name, "stderr", 0).decode()
        time.sleep(0.05)
    found: dict[str, Any] = json.loads(printed)
    return found


def test_nothing_but_what_an_operator_binds_is_the_same_file_in_two_sandboxes(
    contain: Contain, host_sandbox: Sandbox
) -> None:
    sandboxes = contain(slots=2)
    one, other = (told(sandboxes, name, MOUNTED) for name in ("one", "other"))
    for name in ("one", "other"):
        sandboxes.cancel(name)
    assert {"/", "/ringfence/work", "/ringfence/out", "/etc/hosts", "/etc/passwd"} <= one.keys()
    assert {place for place, inode in one.items() if other.get(place) == inode} == set(host_sandbox.binds.values())


@pytest.mark.parametrize("file", ["/etc/passwd", runner.container.runner.__file__], ids=["of the image", "bound"])
def test_of_a_file_that_others_see_nothing_changes_but_the_lock_of_a_bound_one(contain: Contain, file: str) -> None:
    sandboxes = contain(slots=3)
    before = told(sandboxes, "before", CHANGES, "look", file)
    done = told(sandboxes, "holder", CHANGES, "change", file)
    after = told(sandboxes, "after", CHANGES, "look", file)
    for name in ("before", "holder", "after"):
        sandboxes.cancel(name)
    assert done.pop("flock") == "done"
    assert {name for name, came_to in done.items() if came_to == "done"} == set()
    # docs/operators.md says so.
    assert after == before | {"locked": file != "/etc/passwd"}
