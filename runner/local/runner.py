"""LocalRunner: runs as plain processes, each held by a supervisor process of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

from runner.hardware import describe_host
from runner.local.folder import Limits, Order, RunFolder
from runner.local.layout import environment, erase, lay_out, visible_gpus
from runner.local.reap import kill_strays
from runner.plainfile import read_plain_file
from runner.protocol import Exit, ExitReason, Phase, RunnerError, RunSpec, RunState

_REMOVED = ".removed-"
_PATIENCE_S = 30.0


class LocalRunner:
    """Runs commands as processes of this machine and user. UNSANDBOXED: for code you trust, and CPU hosts.

    A run can read and write whatever the service's user can, the network included; the environment, the limits and the
    read-only folders keep accidents in, not attacks. What holds also against an attack: bounded output and collecting.
    All state is in the run folders `root/<run_id>/`, so another LocalRunner on the same root finds every run again.
    """

    name = "local"

    def __init__(self, root: Path, data_dir: Path, slots: int, limits: Limits | None = None) -> None:
        self.slots = slots
        self._root = root.resolve()
        self._data_dir = data_dir.resolve()
        self._limits = limits or Limits()
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left_over in self._root.glob(f"{_REMOVED}*"):
            erase(left_over)

    def submit(self, spec: RunSpec) -> None:
        run = self._folder(spec.run_id)
        with _as_runner_error(f"cannot start run {spec.run_id}"):
            if run.supervisor.exists():
                return
            order = self._order(run, spec)
            run.path.mkdir(exist_ok=True, mode=0o700)
            lock = _lock_unless_started(run)
            if lock is None:
                return
            try:
                lay_out(run, spec.files)
                run.write_order(order)
                _start_supervisor(run, lock)
            finally:
                os.close(lock)

    def poll(self, run_id: str) -> RunState:
        run = self._folder(run_id)
        with _as_runner_error(f"cannot read the state of run {run_id}"):
            if ended := _ended(run):
                return ended
            if not run.laid_out:
                return RunState(Phase.UNKNOWN)
            return _running(run) if run.held() else _settle(run)

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
        removed = self._root / f"{_REMOVED}{run_id}-{token_hex(4)}"
        with contextlib.suppress(FileNotFoundError):
            run.path.rename(removed)  # at once, so that a half deleted folder is never taken for a run
            erase(removed)

    def run_ids(self) -> list[str]:
        return sorted(path.name for path in self._root.iterdir() if not path.name.startswith("."))

    def describe(self) -> dict[str, str]:
        return {**describe_host(), "runner": self.name}

    def _folder(self, run_id: str) -> RunFolder:
        assert not run_id.startswith((".", "/")), run_id
        return RunFolder(self._root / run_id)

    def _order(self, run: RunFolder, spec: RunSpec) -> Order:
        folders = {}
        for variable, name in spec.data.items():
            folders[variable] = self._data_dir / name
            if not folders[variable].is_dir():
                raise RunnerError(
                    f"data folder {name!r} ({variable}) is missing in {self._data_dir}: "
                    "make it with `ringfence data prepare`, or name the right folder with --data"
                )
        if spec.upstream is not None:
            folders["INPUT_DIR"] = self._folder(spec.upstream).out
            if not folders["INPUT_DIR"].is_dir():
                raise RunnerError(f"run {spec.run_id} builds on {spec.upstream}, of which there is no trace")
        return Order(
            spec.command,
            environment(run, {**spec.env, **visible_gpus(spec.device_ids)}, folders),
            spec.timeout_s,
            spec.memory_mb,
            self._limits,
        )


def _lock_unless_started(run: RunFolder) -> int | None:
    """The run's lock, or None if a supervisor was started, by whomever."""
    patience = time.monotonic() + _PATIENCE_S
    while not run.supervisor.exists():
        lock = run.try_lock()
        if lock is not None:
            if not run.supervisor.exists():
                return lock
            os.close(lock)
            return None
        if time.monotonic() > patience:
            raise RunnerError(f"{run.path} is locked, yet nothing starts there")
        time.sleep(0.005)  # somebody else is submitting it; should that fail, it is up to us
    return None


def _start_supervisor(run: RunFolder, lock: int) -> None:
    with run.supervisor_log.open("wb") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-P", "-m", "runner.local.supervise", run.path],
            cwd="/",
            env={},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=[lock],
        )
    threading.Thread(target=supervisor.wait, daemon=True).start()  # lest it stays a zombie as long as we live


def _ended(run: RunFolder) -> RunState | None:
    ended = run.exit()
    if ended is None:
        return None
    end, started_at, ended_at = ended
    return RunState(Phase.ENDED, started_at, ended_at, end)


def _running(run: RunFolder) -> RunState:
    started = run.started()
    return RunState(Phase.RUNNING, started_at=None if started is None else started[0])


def _settle(run: RunFolder) -> RunState:
    """The state of a run that no supervisor holds: ended just now, never started, or lost."""
    lock = run.try_lock()
    if lock is None:
        return _running(run)  # somebody else is at it: starting or settling it
    try:
        if ended := _ended(run):
            return ended
        if not run.supervisor.exists():
            if complaint := _last_words(run):
                raise RunnerError(f"the supervisor of run {run.path.name} does not start: {complaint}")
            return RunState(Phase.UNKNOWN)  # its submission was cut short: to be repeated
        kill_strays(run)
        started = run.started()
        end = Exit(ExitReason.LOST, detail=f"its supervisor broke down: {_last_words(run) or 'killed'}")
        run.write_exit(end, None if started is None else started[0], time.time())
    finally:
        os.close(lock)
    return _ended(run) or _running(run)


def _last_words(run: RunFolder) -> str:
    try:
        lines = run.supervisor_log.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return lines[-1][:200] if lines else ""


@contextlib.contextmanager
def _as_runner_error(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunnerError(f"{what}: {error}") from error
