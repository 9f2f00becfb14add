"""DockerRunner: runs in containers, each held by a thread and found again by its folder and its labels."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from secrets import token_hex

from runner.container.body import INPUT, OUT, OWNER, RUN, WORK, Host, Mount, container_body, data_place
from runner.container.engine import Engine, EngineError
from runner.container.folder import ContainerFolder
from runner.container.gpus import device_nodes
from runner.container.hold import Hold
from runner.container.sandbox import Sandbox
from runner.hardware import describe_host
from runner.local.layout import erase, lay_out
from runner.plainfile import read_plain_file
from runner.protocol import Phase, RunnerError, RunSpec, RunState

_REMOVED = ".removed-"
_PATIENCE_S = 30.0
_ENGINE_PATIENCE_S = 60.0  # how long an engine may be away, as for its restart, before a run is in trouble
_SANDBOX_UID = 1000
_VERSIONS = """
import importlib.metadata as m, json, platform
try: torch = m.version("torch")
except m.PackageNotFoundError: torch = "none"
print(json.dumps({"python": platform.python_version(), "torch": torch}))
"""


class DockerRunner:
    """Runs commands in containers without network, privileges or sight of anything but their own files.

    One container per run, kept until `remove`. The engine and the run folders `root/<run_id>/` hold all state, so that
    another DockerRunner on the same root finds every run again; runs that ended or outlived their deadline meanwhile
    are settled then. Raises RunnerError when the engine or the image is not there.
    """

    name = "docker"

    def __init__(
        self,
        root: Path,
        data_dir: Path,
        slots: int,
        image: str,
        sandbox: Sandbox | None = None,
        engine_url: str | None = None,
    ) -> None:
        """`engine_url`: as in DOCKER_HOST, which is the default. The engine has to see `root` by the same path."""
        self.slots = slots
        self._root = root.resolve()
        self._data_dir = data_dir.resolve()
        self._sandbox = sandbox or Sandbox()
        self._engine = Engine(engine_url)
        self._host = Host(
            image=self._engine.image_id(image),
            owner=hashlib.sha256(str(self._root).encode()).hexdigest()[:12],
            user="{0}:{0}".format(os.getuid() or _SANDBOX_UID),
            cpus=self._sandbox.cpus or max(1.0, (os.cpu_count() or 1) / slots),
            sandbox=self._sandbox,
        )
        self._holds: dict[str, Hold] = {}
        self._holds_lock = threading.Lock()
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left_over in self._root.glob(f"{_REMOVED}*"):
            erase(left_over)
        for run_id in self._folders():
            self.poll(run_id)  # takes up what goes on, and so kills what is overdue

    def close(self) -> None:
        """Let go of all runs, which go on, and of the engine."""
        with self._holds_lock:
            holds = list(self._holds.values())
        for hold in holds:
            hold.close()
        self._engine.close()

    def submit(self, spec: RunSpec) -> None:
        run = self._folder(spec.run_id)
        with _as_runner_error(f"cannot start run {spec.run_id}"):
            if run.accepted.exists():
                return
            mounts = self._mounts(run, spec)
            run.path.mkdir(exist_ok=True, mode=0o700)
            lock = _lock_unless_accepted(run)
            if lock is None:
                return
            try:
                self._start(run, spec, mounts)
            except BaseException:
                os.close(lock)
                raise
            self._take(run, lock)

    def poll(self, run_id: str) -> RunState:
        run = self._folder(run_id)
        with _as_runner_error(f"cannot read the state of run {run_id}"):
            if (ended := _ended(run)) or not run.accepted.exists():
                return ended or RunState(Phase.UNKNOWN)
            self._complain(run_id)
            lock = run.try_lock()
            if lock is not None:  # nobody holds it: its service was killed, or it has just ended
                if ended := _ended(run):
                    os.close(lock)
                    return ended
                self._take(run, lock)
            return RunState(Phase.RUNNING, run.begun())

    def log(self, run_id: str, stream: str, offset: int, limit: int = 1 << 20) -> bytes:
        try:
            with self._folder(run_id).stream(stream).open("rb") as file:
                return os.pread(file.fileno(), limit, offset)
        except FileNotFoundError:
            return b""

    def collect(self, run_id: str, name: str, limit: int = 1 << 20) -> bytes | None:
        return read_plain_file(self._folder(run_id).out, name, limit)

    def cancel(self, run_id: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._folder(run_id).cancel.touch()

    def remove(self, run_id: str) -> None:
        run = self._folder(run_id)
        self.cancel(run_id)
        patience = time.monotonic() + _PATIENCE_S
        while self.poll(run_id).phase is Phase.RUNNING:
            if time.monotonic() > patience:
                raise RunnerError(f"run {run_id} does not end")
            time.sleep(0.01)
        self._engine.remove(self._container(run_id))
        with self._holds_lock:
            self._holds.pop(run_id, None)
        removed = self._root / f"{_REMOVED}{run_id}-{token_hex(4)}"
        with contextlib.suppress(FileNotFoundError):
            run.path.rename(removed)  # at once, so that a half deleted folder is never taken for a run
            erase(removed)

    def run_ids(self) -> list[str]:
        contained = {labels[RUN] for labels in self._engine.labels(OWNER, self._host.owner)}
        return sorted(contained | set(self._folders()))

    def describe(self) -> dict[str, str]:
        return {**describe_host(), **self._versions, "runner": self.name}

    @cached_property
    def _versions(self) -> dict[str, str]:
        """Of what runs find in their sandbox, seen from inside one."""
        probe = RunSpec("versions", ("python", "-c", _VERSIONS), memory_mb=512)
        name = f"{self._container(probe.run_id)}-{token_hex(4)}"
        body = container_body(self._host, probe, [], [], time.time())
        del body["Labels"]  # nobody's run
        try:
            self._engine.create(name, body)
            self._engine.start(name)
            self._engine.wait(name)
            with self._engine.log(name, "stdout", follow=False) as chunks:
                printed = b"".join(chunks)
        finally:
            self._engine.remove(name)
        try:
            versions: dict[str, str] = json.loads(printed)
        except ValueError:
            versions = {"python": "none", "torch": "none"}
        return {**versions, "image": self._host.image, "engine": self._engine.version()}

    def _folder(self, run_id: str) -> ContainerFolder:
        assert not run_id.startswith((".", "/")), run_id
        return ContainerFolder(self._root / run_id)

    def _folders(self) -> list[str]:
        return [path.name for path in self._root.iterdir() if not path.name.startswith(".")]

    def _container(self, run_id: str) -> str:
        return f"ringfence-{self._host.owner}-{run_id}"

    def _mounts(self, run: ContainerFolder, spec: RunSpec) -> list[Mount]:
        mounts = [Mount(run.work, WORK), Mount(run.out, OUT, writable=True)]
        for variable, name in spec.data.items():
            folder = self._data_dir / name
            if not folder.is_dir():
                raise RunnerError(
                    f"data folder {name!r} ({variable}) is missing in {self._data_dir}: "
                    "make it with `ringfence data prepare`, or name the right folder with --data"
                )
            mounts.append(Mount(folder, data_place(variable)))
        if spec.upstream is not None:
            folder = self._folder(spec.upstream).out
            if not folder.is_dir():
                raise RunnerError(f"run {spec.run_id} builds on {spec.upstream}, of which there is no trace")
            mounts.append(Mount(folder, INPUT))
        return mounts

    def _start(self, run: ContainerFolder, spec: RunSpec, mounts: list[Mount]) -> None:
        lay_out(run, spec.files)
        if os.getuid() == 0:
            os.chown(run.out, _SANDBOX_UID, _SANDBOX_UID)
        by_node = spec.device_ids and self._sandbox.gpu_mode == "devices"
        nodes = device_nodes(spec.device_ids) if by_node else []
        name = self._container(spec.run_id)
        self._engine.remove(name)  # of a submission that was cut short
        self._engine.create(name, container_body(self._host, spec, mounts, nodes, time.time()))
        run.accept(spec, time.time())
        try:
            self._engine.start(name)
        except EngineError:
            with contextlib.suppress(EngineError):
                self._engine.remove(name)
                run.accepted.unlink()
            raise

    def _take(self, run: ContainerFolder, lock: int) -> None:
        with self._holds_lock:
            self._holds[run.path.name] = Hold(self._engine, run, self._container(run.path.name), self._sandbox, lock)

    def _complain(self, run_id: str) -> None:
        """Raises RunnerError if the run is not well held; a hold that failed is complained of once, then replaced."""
        with self._holds_lock:
            hold = self._holds.get(run_id)
            if hold is not None and hold.failure is not None:
                del self._holds[run_id]
                raise RunnerError(f"lost hold of run {run_id}: {hold.failure}")
        if hold is not None and (since := hold.away_since) and time.monotonic() > since + _ENGINE_PATIENCE_S:
            raise RunnerError(f"the container engine has not answered for {_ENGINE_PATIENCE_S:g} s")


def _lock_unless_accepted(run: ContainerFolder) -> int | None:
    """The run's lock, or None if the run was accepted, by whomever."""
    patience = time.monotonic() + _PATIENCE_S
    while not run.accepted.exists():
        lock = run.try_lock()
        if lock is not None:
            if not run.accepted.exists():
                return lock
            os.close(lock)
            return None
        if time.monotonic() > patience:
            raise RunnerError(f"{run.path} is locked, yet nothing starts there")
        time.sleep(0.005)  # somebody else is submitting it; should that fail, it is up to us
    return None


def _ended(run: ContainerFolder) -> RunState | None:
    ended = run.exit()
    if ended is None:
        return None
    end, started_at, ended_at = ended
    return RunState(Phase.ENDED, started_at, ended_at, end)


@contextlib.contextmanager
def _as_runner_error(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunnerError(f"{what}: {error}") from error
