"""Nothing is lost or run twice when the service, a submission or the engine goes down."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import docker
import pytest

from runner.container.runner import DockerRunner
from runner.container.sandbox import Sandbox
from runner.protocol import Exit, ExitReason, Phase, RunnerError, RunSpec, RunState
from tests.support.processes import next_line, started
from tests.support.waiting import threads, until

pytestmark = pytest.mark.docker
Contain = Callable[..., DockerRunner]
Finish = Callable[..., RunState]
Eventually = Callable[[Callable[[], bool]], None]

OK = Exit(ExitReason.EXITED, 0)
SERVICE = """
import json, os, sys, time
from pathlib import Path
from runner.container.engine import Engine
from runner.container.runner import DockerRunner
from runner.container.sandbox import Sandbox
from runner.protocol import RunSpec
root, image, sandbox, script, timeout_s, dies_at = sys.argv[1:]
if dies_at:
    setattr(Engine, dies_at, lambda *_: os.kill(os.getpid(), 9))
runner = DockerRunner(Path(root), Path(root), 1, image, Sandbox(**json.loads(sandbox)))
runner.submit(RunSpec("run", ("sh", "-c", script), timeout_s=float(timeout_s)))
while not runner.log("run", "stdout", 0):
    time.sleep(0.01)
print("running", flush=True)
time.sleep(60)
"""


@pytest.fixture
def killed_service(tmp_path: Path, host_image: str, host_sandbox: Sandbox) -> Callable[..., None]:
    """Has another process submit a run and kills it: when the run has printed something, or where it dies by itself."""

    def run(script: str, timeout_s: float = 60, dies_at: str = "") -> None:
        arguments = [tmp_path / "runs", host_image, json.dumps(asdict(host_sandbox)), script, str(timeout_s), dies_at]
        command = [sys.executable, "-c", SERVICE, *map(str, arguments)]
        with started(command) as service:
            assert next_line(service) == ("" if dies_at else "running\n")

    return run


def test_a_run_survives_the_kill_of_its_service_and_its_output_is_kept_once(
    contain: Contain, killed_service: Callable[..., None], finish: Finish
) -> None:
    killed_service("seq 1000; sleep 1; seq 1001 2000; echo done > $OUT_DIR/result")
    runner = contain()
    assert runner.run_ids() == ["run"]
    assert runner.poll("run").phase is Phase.RUNNING
    assert finish(runner, RunSpec("run", ("false",))).exit == OK
    assert runner.log("run", "stdout", 0) == b"".join(b"%d\n" % n for n in range(1, 2001))
    assert runner.collect("run", "result") == b"done\n"


def test_a_run_that_ended_while_nobody_looked_is_found_with_its_exit_and_output(
    contain: Contain, killed_service: Callable[..., None], finish: Finish
) -> None:
    killed_service("echo before; sleep 0.3; echo after; exit 7")
    time.sleep(1)
    runner = contain()
    state = finish(runner, RunSpec("run", ("false",)))
    assert state.exit == Exit(ExitReason.EXITED, 7)
    assert state.elapsed_s is not None
    assert state.elapsed_s < 0.8
    assert runner.log("run", "stdout", 0) == b"before\nafter\n"


def test_an_overdue_run_is_killed_at_the_next_start(
    contain: Contain, killed_service: Callable[..., None], eventually: Eventually
) -> None:
    killed_service("echo; sleep 60", timeout_s=0.5)
    time.sleep(0.6)
    runner = contain()  # and nobody asks for it
    client = docker.APIClient(base_url=os.environ.get("DOCKER_HOST"), version="auto")
    labelled = {"label": "ringfence.run=run", "status": "running"}
    eventually(lambda: client.containers(filters=labelled) == [])
    client.close()
    eventually(lambda: runner.poll("run").exit == Exit(ExitReason.DEADLINE, detail="0.5 s"))


@pytest.mark.parametrize("dies_at", ["create", "start"])
def test_a_submission_cut_short_runs_once_when_it_is_repeated(
    contain: Contain, killed_service: Callable[..., None], finish: Finish, dies_at: str
) -> None:
    killed_service("echo started >> $OUT_DIR/starts", dies_at=dies_at)
    runner = contain()
    spec = RunSpec("run", ("sh", "-c", "echo started >> $OUT_DIR/starts"))
    assert finish(runner, spec).exit == OK
    assert runner.collect("run", "starts") == b"started\n"


def test_another_runner_on_the_same_root_knows_and_controls_every_run(contain: Contain, finish: Finish) -> None:
    first = contain()
    first.submit(RunSpec("going-on", ("sleep", "60")))
    over = finish(first, RunSpec("over", ("echo", "hello")))
    other = contain()
    assert other.run_ids() == ["going-on", "over"]
    assert other.poll("over") == over
    other.submit(RunSpec("going-on", ("sleep", "60")))
    other.cancel("going-on")
    assert finish(other, RunSpec("going-on", ("sleep", "60"))).exit == Exit(ExitReason.CANCELLED)
    assert first.poll("going-on") == other.poll("going-on")


def test_a_runner_that_lets_go_leaves_the_run_to_the_next(contain: Contain, finish: Finish) -> None:
    first = contain()
    first.submit(RunSpec("run", ("sh", "-c", "seq 100; sleep 0.7; seq 101 200")))
    first.close()
    second = contain()
    assert finish(second, RunSpec("run", ("false",))).exit == OK
    assert second.log("run", "stdout", 0) == b"".join(b"%d\n" % n for n in range(1, 201))


def test_one_of_many_submissions_at_once_starts_the_run(contain: Contain, finish: Finish) -> None:
    runner = contain()
    spec = RunSpec("run", ("sh", "-c", "echo started >> $OUT_DIR/starts; sleep 0.2"))
    with threads(8) as pool:
        list(pool.map(runner.submit, [spec] * 16))
    finish(runner, spec)
    assert runner.collect("run", "starts") == b"started\n"


@pytest.mark.parametrize(
    "remove_or_kill",
    [
        lambda client, container: client.remove_container(container, force=True),
        lambda client, container: client.kill(container),
        lambda client, container: client.stop(container),
    ],
    ids=["removed", "killed", "stopped"],
)
def test_a_container_ended_by_others_is_a_lost_run(
    contain: Contain, eventually: Eventually, tmp_path: Path, remove_or_kill: Callable[..., None]
) -> None:
    runner = contain()
    runner.submit(RunSpec("run", ("sleep", "60")))
    client = docker.APIClient(base_url=os.environ.get("DOCKER_HOST"), version="auto")
    for one in client.containers(filters={"label": "ringfence.run=run"}):
        if any(mount["Source"].startswith(str(tmp_path)) for mount in one["Mounts"]):
            remove_or_kill(client, one["Id"])
    client.close()
    eventually(lambda: runner.poll("run").phase is Phase.ENDED)
    end = runner.poll("run").exit
    assert end is not None
    assert end.reason is ExitReason.LOST


class OwnEngine:
    """A second engine, which may be stopped without harm to others."""

    def __init__(self, home: Path, *options: str) -> None:
        self.url = f"unix://{home}/s"
        self.image = ""
        """The one that it has."""
        self._home = home
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        home = self._home
        folders = ["--data-root", home / "data", "--exec-root", home / "exec", "--pidfile", home / "pid"]
        # In a network namespace of its own: it would delete the bridge of the other engine.
        command = ["unshare", "-n", "dockerd", "--host", self.url, *folders, "--bridge=none", "--iptables=false"]
        with (home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*map(str, command), *self._options], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        until(self._answers, 60, 0.1, told=lambda: (home / "log").read_text()[-2000:])

    def _answers(self) -> bool:
        try:
            docker.APIClient(base_url=self.url, version="auto").close()
        except docker.errors.DockerException:
            return False
        return True

    def stop(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(60)
        finally:
            self._process.kill()


@pytest.fixture
def own_engine(
    engine_url: str | None, make_host_image: Callable[[str | None], str]
) -> Iterator[Callable[..., OwnEngine]]:
    assert engine_url is None or engine_url
    if os.getuid() != 0 or shutil.which("dockerd") is None:
        pytest.skip("an engine of its own needs root and dockerd")
    home = Path(tempfile.mkdtemp(prefix="dk-test-", dir="/tmp"))  # short: it holds sockets
    with ExitStack() as ends:
        ends.callback(shutil.rmtree, home)
        umount = ["umount", "--lazy", home / "data"]  # left by live-restore
        ends.callback(subprocess.run, umount, check=False, stderr=subprocess.DEVNULL)

        def start(*options: str) -> OwnEngine:
            engine = OwnEngine(home, *options)
            ends.callback(engine.stop)
            engine.start()
            engine.image = make_host_image(engine.url)
            return engine

        yield start


@pytest.mark.slow
def test_a_run_goes_on_while_its_engine_is_restarted(
    own_engine: Callable[..., OwnEngine], host_sandbox: Sandbox, tmp_path: Path, finish: Finish, eventually: Eventually
) -> None:
    engine = own_engine("--live-restore")
    runner = DockerRunner(tmp_path / "runs", tmp_path, 1, engine.image, host_sandbox, engine.url)
    spec = RunSpec("run", ("sh", "-c", "for i in $(seq 60); do seq $i; sleep 0.1; done; echo x > $OUT_DIR/result"))
    runner.submit(spec)
    eventually(lambda: runner.log("run", "stdout", 0) != b"")
    engine.stop()
    assert runner.poll("run").phase is Phase.RUNNING
    with pytest.raises(RunnerError, match="cannot remove container"):
        runner.submit(RunSpec("other", ("true",)))
    engine.start()
    assert finish(runner, spec).exit == OK
    expected = b"".join(b"%d\n" % n for i in range(1, 61) for n in range(1, i + 1))
    assert runner.log("run", "stdout", 0) == expected
    assert runner.collect("run", "result") == b"x\n"
    runner.remove("run")
    runner.close()


@pytest.mark.slow
def test_a_run_that_goes_down_with_its_engine_is_lost_and_not_blamed(
    own_engine: Callable[..., OwnEngine], host_sandbox: Sandbox, tmp_path: Path, finish: Finish, eventually: Eventually
) -> None:
    engine = own_engine()
    runner = DockerRunner(tmp_path / "runs", tmp_path, 1, engine.image, host_sandbox, engine.url)
    spec = RunSpec("run", ("sh", "-c", "echo; sleep 60 & wait"))
    runner.submit(spec)
    eventually(lambda: runner.log("run", "stdout", 0) != b"")
    engine.stop()
    engine.start()
    end = finish(runner, spec).exit
    assert end == Exit(ExitReason.LOST, detail="its container was killed from outside, or its engine went down")
    runner.remove("run")
    runner.close()


def test_an_engine_that_is_not_there_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(RunnerError, match="cannot reach the container engine"):
        DockerRunner(tmp_path, tmp_path, 1, "image", engine_url=f"unix://{tmp_path}/none")
