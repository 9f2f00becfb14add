"""All runners behind one fixture; after every test of the local one, no process of its runs may be left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from runner.fake.runner import FakeRunner
from runner.folder.run_folder import Limits
from runner.local.runner import LocalRunner
from runner.protocol import Phase, Runner, RunSpec, RunState
from tests.support.processes import kill_under, living_under
from tests.support.waiting import until

SMALL = Limits(processes=40, disk_mb=8, stream_bytes=64 << 10)

# A socket's name is limited to 107 bytes, which the path of a run's folder may exceed: it is named by its folder's
# descriptor.
_OFFER = """import os, signal, socket, sys, time

def meet(worker):
    folder = os.open(os.environ["MEET_DIR"] + "/" + worker, os.O_RDONLY)
    server = socket.socket(socket.AF_UNIX)
    os.umask(0)  # the worker is another user
    server.bind(f"/proc/self/fd/{folder}/socket")
    server.listen()
    return server.accept()[0]

"""
_JOIN = """import os, signal, socket, sys, time

def meet():
    folder = os.open(os.environ["MEET_DIR"], os.O_RDONLY)
    while True:
        one = socket.socket(socket.AF_UNIX)
        try:
            one.connect(f"/proc/self/fd/{folder}/socket")
            return one
        except (FileNotFoundError, ConnectionRefusedError):  # not yet there, or nobody listens yet
            one.close()
            time.sleep(0.01)

"""


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalRunner]:
    (tmp_path / "data" / "corpus").mkdir(parents=True)
    try:
        yield LocalRunner(tmp_path / "runs", tmp_path / "data", slots=2, limits=SMALL)
        until(lambda: not living_under(tmp_path), 20, 0.05)
    except BaseException:
        kill_under(tmp_path)
        raise


SANDBOXES = [pytest.param("docker", marks=pytest.mark.docker), pytest.param("slurm", marks=pytest.mark.slurm)]


@pytest.fixture(params=["fake", "local", *SANDBOXES])
def runner(request: pytest.FixtureRequest) -> Runner:
    if request.param == "fake":
        return FakeRunner()
    return _real(request)


@pytest.fixture(params=["local", *SANDBOXES])
def real_runner(request: pytest.FixtureRequest) -> Runner:
    """Those whose runs are processes."""
    return _real(request)


def _real(request: pytest.FixtureRequest) -> Runner:
    if request.param == "local":
        local: LocalRunner = request.getfixturevalue("local")
        return local
    sandboxed: Runner = request.getfixturevalue({"docker": "contain", "slurm": "on_slurm"}[request.param])()
    return sandboxed


@pytest.fixture
def serving() -> Callable[..., RunSpec]:
    """Makes a run of a Python script, and its workers of other scripts, by their names. Each script can call `meet`."""

    def make(script: str, workers: Mapping[str, str], **more: object) -> RunSpec:
        serve = [RunSpec(f"run.{name}", _python(_JOIN + text)) for name, text in workers.items()]
        return RunSpec("run", _python(_OFFER + script), workers=tuple(serve), **more)  # type: ignore[arg-type]

    return make


@pytest.fixture
def shell() -> Callable[..., RunSpec]:
    """Makes a run of a shell script. The fake runner goes by the `# fake:` comments in it."""

    def make(script: str, run_id: str = "run", name: str = "train.sh", **more: object) -> RunSpec:
        return RunSpec(run_id, ("sh", name), files={name: script}, **more)  # type: ignore[arg-type]

    return make


@pytest.fixture
def ended() -> Callable[[Runner, str], RunState]:
    """Waits for the end of a run that was submitted."""

    def wait(runner: Runner, run_id: str) -> RunState:
        until(lambda: runner.poll(run_id).phase is Phase.ENDED, pause_s=0.005)
        return runner.poll(run_id)

    return wait


@pytest.fixture
def finish(ended: Callable[[Runner, str], RunState]) -> Callable[[Runner, RunSpec], RunState]:
    """Submits a run and waits for its end."""

    def run(runner: Runner, spec: RunSpec) -> RunState:
        runner.submit(spec)
        return ended(runner, spec.run_id)

    return run


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    return until


@pytest.fixture
def processes_under() -> Callable[[Path], list[psutil.Process]]:
    return living_under


def _python(script: str) -> tuple[str, ...]:
    return ("python", "-S", "-c", script)
