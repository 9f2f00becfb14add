"""Hold one container from its start to its end: copy its output, enforce its limits, write down how it ended."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, TypeVar

import psutil

from runner.container.classify import Circumstances, classify
from runner.container.copy import LogCopy
from runner.container.cpu import CpuMeter
from runner.container.disk import host_disk_use
from runner.container.engine import Engine, EngineError, EngineRefusal, LogStream
from runner.container.folder import ContainerFolder, Frozen
from runner.container.sandbox import Sandbox
from runner.protocol import Exit, ExitReason

log = logging.getLogger("ringfence.container")
T = TypeVar("T")

_TICK_S = 0.05  # how soon a deadline or a cancel is noticed
_LOOK_S = 1.0  # how often the engine is asked without a reason
_LAST_WORDS_S = 5.0  # how long a stream may go on after its container
_RETRY_S = 0.25  # while the engine is away
_DISK_S, _DISK_SHARE = 0.1, 20  # a look at the disk that took t seconds is followed by a pause of 20 t


class Hold:
    """Holds one accepted run in a thread of its own.

    All it knows is in the run's folder and in the engine, so that another one, after a restart, goes on where this one
    was. An engine that is away is waited for: its containers may well go on.
    """

    def __init__(self, engine: Engine, run: ContainerFolder, name: str, sandbox: Sandbox, lock: int) -> None:
        """`lock`: the run's lock, which is given back at the end."""
        self.failure: Exception | None = None
        """The error that ended the thread before the run was over; None if there was none."""
        self.away_since: float | None = None
        """The moment since when the engine has not answered, by the monotonic clock; None while it answers."""
        self._engine = engine
        self._run = run
        self._container = name
        self._sandbox = sandbox
        self._lock = lock
        self._terms = run.terms()
        self._frozen = run.frozen()
        self._interrupted = False
        self._closing = threading.Event()
        self._news = threading.Event()
        self._over = threading.Event()
        self._copies = {stream: LogCopy(run.stream(stream), sandbox.output_mb << 20) for stream in ("stdout", "stderr")}
        self._copiers: list[threading.Thread] = []
        self._streams: dict[str, LogStream] = {}
        self._disk_due = 0.0
        self._cpu = CpuMeter(0, lambda: None)
        self._pid = 0
        self._thread = threading.Thread(target=self._main, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let go of the run, which goes on."""
        self._closing.set()
        self._news.set()
        self._end_copies(0)
        self._thread.join()

    def _main(self) -> None:
        try:
            self._hold()
        except _Closed:
            pass
        except Exception as error:
            log.exception("lost hold of run %s", self._run.path.name)
            self.failure = error
        finally:
            os.close(self._lock)

    def _hold(self) -> None:
        state = self._started()
        if state is not None and state["Status"] != "created":
            begun = _moment(state["StartedAt"])
            self._pid = int(state["Pid"])
            self._cpu = CpuMeter(self._pid, self._cpu_by_engine)
            self._run.write_begun(begun)
            self._interrupted = begun < psutil.boot_time()
            self._copiers = [threading.Thread(target=self._copy, args=[stream], daemon=True) for stream in self._copies]
            for copier in self._copiers:
                copier.start()
            try:
                state = self._watch(begun)
            finally:
                self._over.set()
                self._end_copies(_LAST_WORDS_S)
            self._open()
            if self._run.stopped() is None and self._ask(lambda: self._engine.was_killed(self._container, begun)):
                self._interrupted = True
        about = Circumstances(self._terms.memory_mb, self._run.stopped(), self._interrupted)
        ended = time.time() if state is None else _moment(state["FinishedAt"])
        started = self._run.begun()
        if started is not None and started >= ended:
            # The engine notes a start when it has returned from it: of a run of milliseconds, after the end.
            started = self._terms.accepted_at
        self._run.write_exit(classify(state, about), started, ended, self._cpu.seconds, self._frozen.total_s(ended))

    def _started(self) -> dict[str, Any] | None:
        """The container's state, once it was started; None if it is gone. Who accepted the run may have died first."""
        state = self._ask(lambda: self._engine.state(self._container))
        if state is None or state["Status"] != "created":
            return state
        with contextlib.suppress(EngineRefusal):  # its state says why
            self._ask(lambda: self._engine.start(self._container))
        return self._ask(lambda: self._engine.state(self._container))

    def _watch(self, begun: float) -> dict[str, Any] | None:
        """Until the container is over; kills it when it has to be."""
        stop, look_at = self._run.stopped(), 0.0
        while True:
            self._news.wait(_TICK_S)
            self._open()
            self._cpu.look()
            if stop is None:
                self._freeze_or_thaw()
            if stop is None and (stop := self._reason_to_stop(begun)):
                self._run.write_stopped(stop)
                look_at = 0.0
            if self._news.is_set() or time.monotonic() >= look_at:
                self._news.clear()
                look_at = time.monotonic() + _LOOK_S
                if stop is not None:
                    self._ask(lambda: self._engine.kill(self._container))
                state = self._ask(lambda: self._engine.state(self._container))
                if state is None or not (state["Running"] or state["Restarting"]):
                    return state

    def _freeze_or_thaw(self) -> None:
        """Whichever is wanted. Who was at it may have died in the middle: then it is done once more."""
        wanted_at = self._run.pause_wanted_at()
        if wanted_at != self._frozen.since:
            change = self._engine.unpause if wanted_at is None else self._engine.pause
            try:
                self._ask(lambda: change(self._container))
            except EngineRefusal:
                return  # tried again in a moment
            self._frozen = Frozen(wanted_at, self._frozen.total_s(wanted_at or time.time()))
            self._run.write_frozen(self._frozen)

    def _reason_to_stop(self, begun: float) -> Exit | None:
        if self._run.cancel.exists():
            return Exit(ExitReason.CANCELLED)
        if time.time() > begun + self._terms.timeout_s + self._frozen.total_s(time.time()):
            return Exit(ExitReason.DEADLINE, detail=f"{self._terms.timeout_s:g} s")
        if any(copy.exceeded for copy in self._copies.values()):
            return Exit(ExitReason.LIMIT, detail=f"{self._sandbox.output_mb} MiB of output")
        looked = time.monotonic()
        if looked >= self._disk_due:
            enough = self._sandbox.disk_mb << 20
            used = host_disk_use(self._run, self._pid, enough)
            now = time.monotonic()
            self._disk_due = now + max(_DISK_S, _DISK_SHARE * (now - looked))
            if used > enough:
                return Exit(ExitReason.LIMIT, detail=f"{self._sandbox.disk_mb} MiB of files")
        return None

    def _cpu_by_engine(self) -> float | None:
        try:
            return self._ask(lambda: self._engine.cpu_seconds(self._container))
        except EngineRefusal:
            return None

    def _copy(self, stream: str) -> None:
        """All of one stream. Following it ends with the container, or with the engine: therefore it is read once more
        when nothing can come any more.
        """
        copy = self._copies[stream]
        while not self._closing.is_set() and not copy.exceeded:
            last = self._over.is_set()
            try:
                with self._engine.log(self._container, stream, follow=not last) as chunks:
                    self._streams[stream] = chunks
                    copy.take(self._until_closed(chunks))
            except EngineError:
                self._interrupted = True
                self._news.set()
                self._closing.wait(_RETRY_S)
                continue
            self._news.set()
            if last:
                return
            self._over.wait(_LOOK_S)

    def _ask(self, question: Callable[[], T]) -> T:
        """The engine's answer, however long it is away. Raises EngineRefusal, and _Closed."""
        while True:
            try:
                answer = question()
            except EngineRefusal:
                raise
            except EngineError as error:
                if self.away_since is None:
                    log.warning("run %s: %s", self._run.path.name, error)
                    self.away_since = time.monotonic()
                self._interrupted = True
                if self._closing.wait(_RETRY_S):
                    raise _Closed from None
            else:
                self.away_since = None
                return answer

    def _until_closed(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            if self._closing.is_set():
                return
            yield chunk

    def _end_copies(self, patience_s: float) -> None:
        """Wait for the copiers, which read to the end of their streams; engines were seen that forget to end one."""
        for copier in self._copiers:
            copier.join(patience_s)
        for stream in list(self._streams.values()):
            stream.stop()
        for copier in self._copiers:
            copier.join()

    def _open(self) -> None:
        if self._closing.is_set():
            raise _Closed


class _Closed(Exception):
    """Nobody wants this thread any more."""


def _moment(stamp: str) -> float:
    """Unix seconds of the engine's RFC 3339 time."""
    return datetime.fromisoformat(stamp).timestamp()
