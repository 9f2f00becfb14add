"""LocalRunner: runs as plain processes, each held by a supervisor process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

from runner.folder.layout import PACKAGES, environment, lay_out, visible_gpus
from runner.folder.run_folder import Limits, Order, RunFolder
from runner.folder.runner import FolderRunner, as_runner_error, lock_unless
from runner.hardware import describe_host
from runner.processes.reap import kill_strays
from runner.protocol import Exit, ExitReason, Lack, Phase, RunnerError, RunSpec, RunState


class LocalRunner(FolderRunner):
    """Runs commands as processes of this machine and user. UNSANDBOXED: for code you trust, and CPU hosts.

    A run can read and write whatever the service's user can, the network included; the environment, the limits and the
    read-only folders keep accidents in, not attacks. What holds also against an attack: bounded output and collecting.
    All state is in the run folders `root/<run_id>/`, so another LocalRunner on the same root finds every run again.
    """

    name = "local"

    def __init__(self, root: Path, data_dir: Path, slots: int, limits: Limits | None = None) -> None:
        super().__init__(root, data_dir)
        self.slots = slots
        self._limits = limits or Limits()
        self._supervisors: dict[str, subprocess.Popen[bytes]] = {}
        """Those that this object started, by run: what a run does to its folder does not hide them."""

    def _submit(self, spec: RunSpec) -> None:
        run = self._folder(spec.run_id)
        with as_runner_error(f"cannot start run {spec.run_id}"):
            if run.supervisor.exists():
                return
            order = self._order(run, spec)
            run.path.mkdir(exist_ok=True, mode=0o700)
            lock = lock_unless(run.supervisor.exists, run)
            if lock is None:
                return
            try:
                if self._lay_exam(run, spec):
                    order = replace(order, env={**order.env, "EXAM_DIR": str(run.exam)})
                lay_out(run, spec.files, map(self._rendezvous_folder, spec.workers))
                run.write_order(order)
                self._supervisors[spec.run_id] = _start_supervisor(run, lock)
            finally:
                os.close(lock)

    def _state(self, run_id: str) -> RunState:
        run = self._folder(run_id)
        with as_runner_error(f"cannot read the state of run {run_id}"):
            try:
                if state := run.ended():
                    return state
                if run.laid_out:
                    state = _running(run) if run.held() else _settle(run)
                    if state.phase is not Phase.UNKNOWN:
                        return state
            except ValueError as error:
                if run_id not in self._supervisors:
                    raise RunnerError(f"the folder of run {run_id} is damaged: {error}") from error
            return self._without_folder(run_id)

    def _without_folder(self, run_id: str) -> RunState:
        """The state of a run whose folder says nothing of it: nobody but the run itself removes or breaks it."""
        supervisor = self._supervisors.get(run_id)
        if supervisor is None:
            return RunState(Phase.UNKNOWN)
        if supervisor.poll() is None:
            return RunState(Phase.RUNNING)
        run = self._folder(run_id)
        kill_strays(run)
        run.path.mkdir(exist_ok=True, mode=0o700)
        run.write_exit(Exit(ExitReason.EXITED, 1, detail="it broke its own run folder"), None, time.time(), None)
        return self._folder(run_id).ended() or RunState(Phase.UNKNOWN)

    def _cancel(self, run_id: str) -> None:
        if run_id in self._supervisors:
            self._folder(run_id).path.mkdir(exist_ok=True, mode=0o700)
        super()._cancel(run_id)

    def describe(self) -> dict[str, str]:
        return {**describe_host(), "runner": self.name}

    def lacks(self) -> tuple[Lack, ...]:
        return ()  # it has no sandbox

    def pause(self, run_id: str) -> None:
        """Nothing: these runs are in no sandbox, and could tell each other anything at any time."""

    def resume(self, run_id: str) -> None:
        """Nothing, as nothing is ever frozen."""

    def _let_go(self, run_id: str) -> None:
        """Nothing of it is left but the folder."""
        self._supervisors.pop(run_id, None)

    def _folder(self, run_id: str) -> RunFolder:
        assert not run_id.startswith((".", "/")), run_id
        return RunFolder(self._root / run_id)

    def _order(self, run: RunFolder, spec: RunSpec) -> Order:
        folders = {}
        for variable, name in spec.data.items():
            folders[variable] = self._data(variable, name)
        if spec.upstream is not None:
            folders["INPUT_DIR"] = self._output_of(spec.upstream, spec.run_id)
        if spec.workers:
            folders["MEET_DIR"] = run.meet
        if spec.is_worker:
            folders["MEET_DIR"] = self._rendezvous_folder(spec)
        return Order(
            command=spec.command,
            env=environment(run, {**spec.env, **visible_gpus(spec.device_ids)}, folders),
            timeout_s=spec.timeout_s,
            memory_mb=spec.memory_mb,
            limits=self._limits,
        )


def _start_supervisor(run: RunFolder, lock: int) -> subprocess.Popen[bytes]:
    with run.supervisor_log.open("wb") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-P", "-m", "runner.processes.supervise", run.path],
            cwd="/",
            env={"PYTHONPATH": PACKAGES},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=[lock],
        )
    threading.Thread(target=supervisor.wait, daemon=True).start()  # lest it stays a zombie as long as we live
    return supervisor


def _running(run: RunFolder) -> RunState:
    started = run.started()
    return RunState(Phase.RUNNING, started_at=None if started is None else started[0])


def _settle(run: RunFolder) -> RunState:
    """The state of a run that no supervisor holds: ended just now, never started, or lost."""
    lock = run.try_lock()
    if lock is None:
        return _running(run)  # somebody else is at it: starting or settling it
    try:
        if state := run.ended():
            return state
        if not run.supervisor.exists():
            if complaint := _last_words(run):
                raise RunnerError(f"the supervisor of run {run.path.name} does not start: {complaint}")
            return RunState(Phase.UNKNOWN)  # its submission was cut short: to be repeated
        kill_strays(run)
        started = run.started()
        end = Exit(ExitReason.LOST, detail=f"its supervisor broke down: {_last_words(run) or 'killed'}")
        run.write_exit(end, None if started is None else started[0], time.time(), None)
    finally:
        os.close(lock)
    return run.ended() or _running(run)


def _last_words(run: RunFolder) -> str:
    try:
        lines = run.supervisor_log.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return lines[-1][:200] if lines else ""
