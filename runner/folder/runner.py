"""What runners have in common whose runs have a folder on this host: reading, cancelling and removing them.

Submission and polling too, as far as they keep a run and its workers together.
"""

from __future__ import annotations

import contextlib
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from secrets import token_hex

from runner.data.exam import RESERVE, TEXT_FILE, NoExam, write_exam
from runner.folder.reserve import keep_reserve, with_reserve
from runner.folder.run_folder import RunFolder
from runner.folder.untrusted import create_plain_file, erase, read_plain_file
from runner.inside.names import DISMISSED, GONE
from runner.protocol import Phase, RunnerError, RunSpec, RunState

REMOVED = ".removed-"
"""How the names of folders in a runner's root begin that are about to be deleted."""
PATIENCE_S = 30.0


class FolderRunner(ABC):
    """Half of a Runner: `root/<run_id>/` holds a run's state, output and output folder.

    To the other half all runs are alike. That some are workers of others is known here, by their ids alone.
    """

    def __init__(self, root: Path, data_dir: Path) -> None:
        self._root = root.resolve()
        self._data_dir = data_dir.resolve()
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left_over in self._root.glob(f"{REMOVED}*"):
            erase(left_over)
        keep_reserve(self._root)

    @abstractmethod
    def _submit(self, spec: RunSpec) -> None:
        """Start one run, or do nothing if its id was submitted before. Raises RunnerError."""

    @abstractmethod
    def _state(self, run_id: str) -> RunState:
        """Where one run stands, whatever its workers do. Raises RunnerError."""

    @abstractmethod
    def _folder(self, run_id: str) -> RunFolder:
        """The folder of a run or worker, whether it is there or not."""

    @abstractmethod
    def _let_go(self, run_id: str) -> None:
        """Forget an ended run whose folder is about to go."""

    def submit(self, spec: RunSpec) -> None:
        self._submit(spec)
        for worker in spec.workers:
            if self._state(spec.run_id).phase is not Phase.RUNNING:
                return
            if not self._rendezvous_folder(worker).is_dir():
                continue  # the run was laid out without it, before a restart, and does not expect it
            self._submit(worker)

    def poll(self, run_id: str) -> RunState:
        state = self._state(run_id)
        # Asked for in any case: they too have limits, and a supervisor that may be gone.
        at_work = [name for name in self._workers(run_id) if self._at_work(name)]
        if state.phase is Phase.RUNNING or not at_work:
            return state
        for name in at_work:
            self._cancel(name)
        return RunState(Phase.RUNNING, started_at=state.started_at)

    def _at_work(self, worker: str) -> bool:
        """Whether anything of the worker goes on. One that was dismissed is killed, and its run told of its end."""
        running = self._state(worker).phase is Phase.RUNNING
        main, _, name = worker.partition(".")
        place = self._folder(main).meet / name
        if (place / DISMISSED).exists():
            if running:
                self._cancel(worker)
            else:
                create_plain_file(place / GONE)
        return running

    def log(self, run_id: str, stream: str, offset: int, limit: int = 1 << 20) -> bytes:
        try:
            with self._folder(run_id).stream(stream).open("rb") as file:
                return os.pread(file.fileno(), limit, offset)
        except FileNotFoundError:
            return b""

    def collect(self, run_id: str, name: str, limit: int = 1 << 20) -> bytes | None:
        return read_plain_file(self._folder(run_id).out, name, limit)

    def cancel(self, run_id: str) -> None:
        for name in (run_id, *self._workers(run_id)):
            self._cancel(name)

    def remove(self, run_id: str) -> None:
        self.cancel(run_id)
        patience = time.monotonic() + PATIENCE_S
        while self.poll(run_id).phase is Phase.RUNNING:
            if time.monotonic() > patience:
                raise RunnerError(f"run {run_id} does not end")
            time.sleep(0.01)
        for name in sorted(name for name in self._traces() if _main(name) == run_id):
            self._let_go(name)
            removed = self._root / f"{REMOVED}{name}-{token_hex(4)}"
            with contextlib.suppress(FileNotFoundError):
                # At once: a half deleted folder is never taken for a run.
                with_reserve(self._root, partial(self._folder(name).path.rename, removed))
                erase(removed)
        keep_reserve(self._root)

    def run_ids(self) -> list[str]:
        return sorted({_main(name) for name in self._traces()})

    def _traces(self) -> set[str]:
        """Every run and worker of which anything is left."""
        return {path.name for path in self._root.iterdir() if not path.name.startswith(".")}

    def _workers(self, run_id: str) -> list[str]:
        """The workers of the run that were submitted."""
        return sorted(path.name for path in self._root.glob(f"{run_id}.*"))

    def _cancel(self, run_id: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._folder(run_id).cancel.touch()

    def _rendezvous_folder(self, worker: RunSpec) -> Path:
        """The folder in which a worker meets the run it serves."""
        main, _, name = worker.run_id.partition(".")
        return self._folder(main).meet / name

    def _lay_exam(self, run: RunFolder, spec: RunSpec) -> bool:
        """Whether the run has the exam it asks for. What was laid before stays; why there is none is written down."""
        if spec.exam is None or run.no_exam():
            return False
        run.exam.mkdir(exist_ok=True)
        try:
            if not (run.exam / TEXT_FILE).exists():
                write_exam(self._data_dir, spec.exam, int(spec.env["BLOCK_SIZE"]), run.exam)
        except NoExam as none:
            run.write_no_exam(str(none))
            return False
        return True

    def _data(self, variable: str, name: str) -> Path:
        """The data folder of this name, which `variable` is to lead to. Raises RunnerError."""
        folder = self._data_dir / name
        if RESERVE in Path(name).parts or (folder / RESERVE).exists():
            raise RunnerError(f"data folder {name!r} ({variable}) would show a run the reserve of exams")
        if not folder.is_dir():
            raise RunnerError(
                f"data folder {name!r} ({variable}) is missing in {self._data_dir}: "
                "make it with `ringfence data prepare`, or name the right folder with --data"
            )
        return folder

    def _output_of(self, upstream: str, run_id: str) -> Path:
        """The output folder of the run that another one builds on. Raises RunnerError."""
        folder = self._folder(upstream).out
        if not folder.is_dir():
            raise RunnerError(f"run {run_id} builds on {upstream}, of which there is no trace")
        return folder


def _main(run_id: str) -> str:
    """The run that a worker serves; any other run is its own."""
    return run_id.partition(".")[0]


def lock_unless(taken: Callable[[], bool], run: RunFolder) -> int | None:
    """The run's lock, or None if it is `taken`, by whomever: the start of a run can be asked for many times at once."""
    patience = time.monotonic() + PATIENCE_S
    while not taken():
        lock = run.try_lock()
        if lock is not None:
            if not taken():
                return lock
            os.close(lock)
            return None
        if time.monotonic() > patience:
            raise RunnerError(f"{run.path} is locked, yet nothing starts there")
        time.sleep(0.005)  # somebody else is submitting it; should that fail, it is up to us
    return None


@contextlib.contextmanager
def as_runner_error(what: str) -> Iterator[None]:
    """Turn the operating system's errors into RunnerError; `what` says what was attempted."""
    try:
        yield
    except OSError as error:
        raise RunnerError(f"{what}: {error}") from error
