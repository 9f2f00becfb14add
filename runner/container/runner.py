"""DockerRunner: runs in containers, each held by a thread and found again by its folder and its labels."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from functools import cached_property
from pathlib import Path
from secrets import token_hex

from runner.container.body import OWNER, RUN, ContainerHost, container_body
from runner.container.disk import attach_disk, detach_disk, make_disk
from runner.container.engine import Engine, EngineError
from runner.container.folder import ContainerFolder
from runner.container.hold import Hold
from runner.container.sandbox import Sandbox
from runner.container.trial import HostTrial, try_host
from runner.folder.layout import lay_out
from runner.folder.runner import REMOVED, as_runner_error, lock_unless
from runner.folder.sandboxed import EXAM, Mount, SandboxRunner, user_of
from runner.gpus import device_nodes
from runner.hardware import describe_host
from runner.protocol import Lack, Phase, RunnerError, RunSpec, RunState

_ENGINE_PATIENCE_S = 60.0  # how long an engine may be away, as for its restart, before a run is in trouble
_FREEZING_S = 30.0  # how long whoever holds a run may take to freeze it


class DockerRunner(SandboxRunner):
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
        """`engine_url` is as in DOCKER_HOST, which is the default. The engine has to see `root` by the same path."""
        for left_over in root.glob(f"{REMOVED}*"):
            detach_disk(ContainerFolder(left_over))
        super().__init__(root, data_dir)
        self.slots = slots
        self._sandbox = sandbox or Sandbox()
        self._engine = Engine(engine_url)
        self._host = ContainerHost(
            image=self._engine.image_id(image),
            owner=hashlib.sha256(str(self._root).encode()).hexdigest()[:12],
            cpus=self._sandbox.cpus or max(1.0, (os.cpu_count() or 1) / slots),
            sandbox=self._sandbox,
        )
        self._holds: dict[str, Hold] = {}
        self._holds_lock = threading.Lock()
        self._trial_lock = threading.Lock()
        for name in super()._traces():
            attach_disk(self._folder(name))  # which it has lost if the machine was started anew
        for run_id in self.run_ids():
            self.poll(run_id)  # takes up what goes on, and so kills what is overdue

    def close(self) -> None:
        """Let go of all runs, which go on, and of the engine."""
        with self._holds_lock:
            holds = list(self._holds.values())
        for hold in holds:
            hold.close()
        self._engine.close()

    def _submit(self, spec: RunSpec) -> None:
        run = self._folder(spec.run_id)
        with as_runner_error(f"cannot start run {spec.run_id}"):
            if run.accepted.exists():
                return
            mounts = self._mounts(run, spec)
            run.path.mkdir(exist_ok=True, mode=0o700)
            lock = lock_unless(run.accepted.exists, run)
            if lock is None:
                return
            try:
                self._start(run, spec, mounts)
            except BaseException:
                os.close(lock)
                raise
            self._take(run, lock)

    def _state(self, run_id: str) -> RunState:
        run = self._folder(run_id)
        with as_runner_error(f"cannot read the state of run {run_id}"):
            if (state := run.ended()) or not run.accepted.exists():
                return state or RunState(Phase.UNKNOWN)
            self._complain(run_id)
            lock = run.try_lock()
            if lock is not None:  # nobody holds it: its service was killed, or it has just ended
                if state := run.ended():
                    os.close(lock)
                    return state
                self._take(run, lock)
            return RunState(Phase.RUNNING, started_at=run.begun())

    def describe(self) -> dict[str, str]:
        return {**describe_host(), **self._trial().versions, "runner": self.name}

    def lacks(self) -> tuple[Lack, ...]:
        return self._trial().lacks

    @cached_property
    def _tried(self) -> HostTrial:
        # Should this service die meanwhile, the next one deletes what is left.
        run = ContainerFolder(self._root / f"{REMOVED}trial-{token_hex(4)}")
        return try_host(self._engine, self._host, run, self._container("trial"), user_of("trial"))

    def _trial(self) -> HostTrial:
        with self._trial_lock:
            return self._tried

    def pause(self, run_id: str) -> None:
        patience = time.monotonic() + _FREEZING_S
        names = [name for name in (run_id, *self._workers(run_id)) if self._state(name).phase is Phase.RUNNING]
        with as_runner_error(f"cannot freeze run {run_id}"):
            for name in names:
                self._folder(name).pause.touch()
            for name in names:  # whoever holds it does it
                wanted = self._folder(name).pause_wanted_at()
                while self._folder(name).frozen().since != wanted and self._state(name).phase is Phase.RUNNING:
                    if time.monotonic() > patience:
                        raise RunnerError(f"run {name} cannot be frozen")
                    time.sleep(0.01)

    def resume(self, run_id: str) -> None:
        with as_runner_error(f"cannot let run {run_id} go on"):
            for name in (run_id, *self._workers(run_id)):
                self._folder(name).pause.unlink(missing_ok=True)

    def _let_go(self, run_id: str) -> None:
        self._engine.remove(self._container(run_id))
        detach_disk(self._folder(run_id))
        with self._holds_lock:
            self._holds.pop(run_id, None)

    def _traces(self) -> set[str]:
        contained = {labels[RUN] for labels in self._engine.labels(OWNER, self._host.owner)}
        return contained | super()._traces()

    def _folder(self, run_id: str) -> ContainerFolder:
        assert not run_id.startswith((".", "/")), run_id
        return ContainerFolder(self._root / run_id)

    def _container(self, run_id: str) -> str:
        return f"ringfence-{self._host.owner}-{run_id}"

    def _start(self, run: ContainerFolder, spec: RunSpec, mounts: list[Mount]) -> None:
        name = self._container(spec.run_id)
        self._engine.remove(name)  # of a submission that was cut short
        if self._lay_exam(run, spec):
            mounts = [*mounts, Mount(run.exam, EXAM)]
        rendezvous_folders = [self._rendezvous_folder(worker) for worker in spec.workers]
        lay_out(run, spec.files, rendezvous_folders)
        if self._trial().sized_output and not spec.is_worker:
            make_disk(run, self._sandbox.disk_mb)
        user = user_of(spec.upstream or spec.run_id)
        if os.getuid() == 0:
            for folder in (run.out, *rendezvous_folders):
                os.chown(folder, user, user)
        by_node = spec.device_ids and self._sandbox.gpu_mode == "devices"
        nodes = device_nodes(spec.device_ids) if by_node else []
        self._engine.create(name, container_body(self._host, spec, user, mounts, nodes, time.time()))
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
