"""The file system of its own size that a run's output lies on, and what a host does without one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.container import trial
from runner.container.disk import NoDisk, detach_disk, make_disk
from runner.container.runner import DockerRunner
from runner.folder.run_folder import RunFolder
from runner.protocol import Exit, ExitReason, Phase, RunSpec, RunState

pytestmark = pytest.mark.docker
Contain = Callable[..., DockerRunner]
Finish = Callable[..., RunState]
Eventually = Callable[[Callable[[], bool]], None]

OK = Exit(ExitReason.EXITED, 0)
LIMIT = Exit(ExitReason.LIMIT, detail="16 MiB of files")
WITHIN_MB = 64
"""What a run with a limit of 16 MiB may take of the host's disk at most, its file system's tables included."""

UNLINKED = """
import os
try:
    for number in range(64):
        file = os.open(f"/ringfence/out/{number}", os.O_RDWR | os.O_CREAT)
        os.unlink(f"/ringfence/out/{number}")
        for _ in range(8):
            os.write(file, b"x" * (1 << 20))
except OSError as error:
    print(error.strerror, flush=True)
"""
TINY = """
import os
try:
    for number in range(1_000_000):
        os.close(os.open(f"/ringfence/out/{number}", os.O_RDWR | os.O_CREAT))
except OSError as error:
    print(error.strerror, number < 2000, flush=True)
"""
SPARSE = """
import os
for number in range(8):
    with open(f"/ringfence/out/{number}", "wb") as file:
        file.truncate(15 << 20)
try:
    for number in range(8):
        with open(f"/ringfence/out/{number}", "r+b") as file:
            file.write(b"x" * (15 << 20))
except OSError as error:
    print(error.strerror, flush=True)
"""


@pytest.fixture(scope="module")
def mounts(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A host that lets file systems be made and mounted, which is more than an engine needs."""
    folder = RunFolder(tmp_path_factory.mktemp("host"))
    folder.out.mkdir()
    try:
        make_disk(folder, 1)
    except NoDisk as error:
        pytest.skip(f"this host makes no file systems for runs: {error}")
    finally:
        detach_disk(folder)


@pytest.fixture
def without_a_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody measures what a run writes: only the file system is left."""
    monkeypatch.setattr("runner.container.hold.host_disk_use", lambda *_: 0)


def _python(script: str, run_id: str = "run", **more: object) -> RunSpec:
    return RunSpec(run_id, ("python3", "-S", "-c", script), **more)  # type: ignore[arg-type]


def _free(folder: Path) -> int:
    about = os.statvfs(folder)
    return about.f_bavail * about.f_frsize


@pytest.mark.usefixtures("mounts")
@pytest.mark.usefixtures("without_a_watch")
@pytest.mark.parametrize(
    ("script", "told"),
    [
        (UNLINKED, b"No space left on device\n"),
        (TINY, b"No space left on device True\n"),
        (SPARSE, b"No space left on device\n"),
    ],
    ids=["unlinked", "tiny", "sparse"],
)
def test_the_file_system_ends_what_no_watch_sees(
    contain: Contain, finish: Finish, tmp_path: Path, script: str, told: bytes
) -> None:
    runner = contain(disk_mb=16)
    assert finish(runner, _python(script)).exit == OK
    assert runner.log("run", "stdout", 0) == told
    assert (tmp_path / "runs" / "run" / "out.img").stat().st_blocks * 512 < WITHIN_MB << 20


@pytest.mark.parametrize("script", [UNLINKED, TINY, SPARSE], ids=["unlinked", "tiny", "sparse"])
def test_whoever_stays_is_told_of_the_limit(contain: Contain, finish: Finish, script: str) -> None:
    assert finish(contain(disk_mb=16), _python(script + "import time; time.sleep(60)")).exit == LIMIT


@pytest.mark.usefixtures("mounts")
def test_nothing_on_it_is_run_or_gives_rights(contain: Contain, finish: Finish) -> None:
    script = (
        "cp /bin/true $OUT_DIR/program; chmod 4755 $OUT_DIR/program; $OUT_DIR/program; echo $?; grep /out /proc/mounts"
    )
    runner = contain()
    assert finish(runner, RunSpec("run", ("sh", "-c", script))).exit == OK
    status, mounted = runner.log("run", "stdout", 0).decode().splitlines()
    assert status == "126"
    assert {"nosuid", "nodev", "noexec"} <= set(mounted.split()[3].split(","))


@pytest.mark.usefixtures("mounts")
def test_another_run_and_the_service_read_it(contain: Contain, finish: Finish) -> None:
    runner = contain()
    finish(runner, RunSpec("first", ("sh", "-c", "echo weights > $OUT_DIR/checkpoint; ls -A $OUT_DIR")))
    assert runner.log("first", "stdout", 0) == b"checkpoint\n"
    assert runner.collect("first", "checkpoint") == b"weights\n"
    read = "cat $INPUT_DIR/checkpoint; echo x > $INPUT_DIR/checkpoint || echo refused"
    assert finish(runner, RunSpec("second", ("sh", "-c", read), upstream="first")).exit == OK
    assert runner.log("second", "stdout", 0) == b"weights\nrefused\n"


@pytest.mark.usefixtures("mounts")
def test_it_is_mounted_again_after_a_restart_of_the_machine(contain: Contain, finish: Finish, tmp_path: Path) -> None:
    runner = contain()
    finish(runner, RunSpec("first", ("sh", "-c", "echo weights > $OUT_DIR/checkpoint")))
    subprocess.run(["umount", tmp_path / "runs" / "first" / "out"], check=True)
    assert runner.collect("first", "checkpoint") is None
    assert contain().collect("first", "checkpoint") == b"weights\n"


@pytest.mark.usefixtures("mounts")
def test_it_goes_with_the_run_whoever_reads_there(contain: Contain, finish: Finish, tmp_path: Path) -> None:
    runner = contain()
    finish(runner, RunSpec("run", ("sh", "-c", "echo weights > $OUT_DIR/checkpoint")))
    with (tmp_path / "runs" / "run" / "out" / "checkpoint").open("rb") as reader:
        runner.remove("run")
        assert reader.read() == b"weights\n"
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()


@pytest.mark.usefixtures("mounts")
def test_what_a_killed_service_was_about_to_delete_is_unmounted(
    contain: Contain, finish: Finish, tmp_path: Path
) -> None:
    runner = contain()
    finish(runner, RunSpec("run", ("true",)))
    (tmp_path / "runs" / "run").rename(tmp_path / "runs" / ".removed-run-1")
    contain()
    assert not (tmp_path / "runs" / ".removed-run-1").exists()
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()
    runner.remove("run")


def test_a_worker_has_little_room_and_none_of_the_hosts(
    contain: Contain, eventually: Eventually, tmp_path: Path
) -> None:
    fill = "head -c 40000000 /dev/zero > $OUT_DIR/big; stat -c %s $OUT_DIR/big; grep /out /proc/mounts"
    worker = RunSpec("run.audit", ("sh", "-c", fill))
    runner = contain()
    runner.submit(RunSpec("run", ("sleep", "60"), workers=(worker,)))
    eventually(lambda: runner.poll("run.audit").phase is Phase.ENDED)
    size, mounted = runner.log("run.audit", "stdout", 0).decode().splitlines()
    assert int(size) <= 16 << 20
    assert mounted.split()[2] == "tmpfs"
    assert {"nosuid", "nodev", "noexec"} <= set(mounted.split()[3].split(","))
    assert list((tmp_path / "runs" / "run.audit" / "out").iterdir()) == []
    runner.cancel("run")


@pytest.fixture
def unable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A host on which nothing can be mounted."""

    def refuse(*_: object) -> None:
        raise NoDisk("mount fails: not permitted")

    monkeypatch.setattr(trial, "make_disk", refuse)
    return


@pytest.mark.usefixtures("unable")
def test_a_host_without_is_told_of_it_and_the_watch_takes_over(contain: Contain, finish: Finish) -> None:
    runner = contain(disk_mb=16)
    assert any("no file system of their own (mount fails: not permitted)" in lack.what for lack in runner.lacks())
    assert finish(runner, _python(UNLINKED + "import time; time.sleep(60)")).exit == LIMIT


@pytest.mark.usefixtures("mounts")
def test_a_mount_that_the_engine_does_not_see_is_none(contain: Contain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_MARK", "elsewhere")  # what the service lays there is not what the container looks for
    assert any("the engine does not see what the service mounts" in lack.what for lack in contain().lacks())


@pytest.mark.usefixtures("mounts")
def test_this_host_has_them(contain: Contain) -> None:
    assert not any("no file system of their own" in lack.what for lack in contain().lacks())
