"""`python -m runner.processes.supervise RUN_FOLDER`: hold one run from its start to its end.

A process of its own, so that the run neither dies with the service nor outlives its deadline when the service is gone.
As a program it is started by LocalRunner, whose lock on the folder it inherits and holds as long as it lives.
"""

from __future__ import annotations

import contextlib
import os
import resource
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path

from runner.folder.run_folder import Order, RunFolder, write_state
from runner.processes.limits import LimitWatch
from runner.processes.output import BoundedCopy
from runner.processes.reap import adopt_orphans, die_with_parent, kill_descendants, reap
from runner.protocol import Exit, ExitReason

_TICK_S = 0.02  # how soon a deadline, a cancel or a fork bomb is noticed; the end of the command is noticed at once


class Enclosure:
    """What surrounds the command of a run, as its supervisor has to know it. This one is none at all."""

    def memory_files(self) -> int:
        """Bytes of memory that file systems of the run's own hold, beside what its processes do."""
        return 0

    def natural_end(self, returncode: int) -> Exit:
        """How the command ended, by what the process that was started for it came to (`Popen.returncode`)."""
        if returncode < 0:
            return Exit(ExitReason.SIGNALLED, -returncode)
        return Exit(ExitReason.EXITED, returncode)

    def interruption(self) -> Exit | None:
        """The end of a run that somebody else than its runner wants to stop; None as long as nobody does."""
        return None


def main() -> None:
    """Hold the run whose folder the command line names, and write down how it ended."""
    run = RunFolder(Path(sys.argv[1]))
    write_state(run.supervisor, {"pid": os.getpid()})
    supervise(run, Enclosure())


def supervise(run: RunFolder, enclosure: Enclosure) -> None:
    """Hold a run whose order is in its folder from its start to its end, and write down how it ended."""
    adopt_orphans()
    started_at, started = time.time(), time.monotonic()
    end = _blamed(run, hold(run, run.read_order(), started_at, enclosure))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)  # whoever lost its parent was a child of ours at its end
    run.write_exit(end, started_at, started_at + (time.monotonic() - started), used.ru_utime + used.ru_stime)


def hold(run: RunFolder, order: Order, started_at: float, enclosure: Enclosure) -> Exit:
    """Run the command until it ends or has to. No process of it is left on return, whatever happens here."""
    if run.cancel.exists():
        return Exit(ExitReason.CANCELLED)
    copies = [BoundedCopy(run.stream(name), order.limits.stream_bytes) for name in ("stdout", "stderr")]
    try:
        with _Alarm() as alarm:
            try:
                command = _start(run, order, copies)
            except OSError as error:
                return Exit(ExitReason.EXITED, 127, detail=f"cannot start {order.command[0]}: {error.strerror}")
            finally:
                for copy in copies:
                    copy.close_write_end()
            with contextlib.suppress(FileNotFoundError):  # it has removed its folder: its end tells what comes of that
                run.write_started(started_at, command.pid)
            return _watch(run, order, command, copies, alarm, enclosure)
    finally:
        kill_descendants()
        for copy in copies:
            copy.finish()


def _start(run: RunFolder, order: Order, copies: list[BoundedCopy]) -> subprocess.Popen[bytes]:
    supervisor = os.getpid()
    file_bytes = order.limits.disk_mb << 20

    def in_child() -> None:
        die_with_parent()
        if os.getppid() != supervisor:
            os._exit(1)
        _lower_limit(resource.RLIMIT_CORE, 0)
        _lower_limit(resource.RLIMIT_FSIZE, file_bytes)
        # No RLIMIT_NPROC: it counts the user's other processes too, and does not hold root. LimitWatch counts instead.

    return subprocess.Popen(
        order.command,
        cwd=run.work,
        env=order.env,
        stdin=subprocess.DEVNULL,
        stdout=copies[0].write_end,
        stderr=copies[1].write_end,
        start_new_session=True,
        preexec_fn=in_child,
    )


def _lower_limit(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(which, (value, value))


def _watch(
    run: RunFolder,
    order: Order,
    command: subprocess.Popen[bytes],
    copies: list[BoundedCopy],
    alarm: _Alarm,
    enclosure: Enclosure,
) -> Exit:
    deadline = time.monotonic() + order.timeout_s
    limits = LimitWatch(run, order, enclosure.memory_files)
    with selectors.DefaultSelector() as selector:
        selector.register(alarm.fd, selectors.EVENT_READ, alarm.clear)
        for copy in copies:
            selector.register(copy.read_end, selectors.EVENT_READ, copy.pump)
        while True:
            for key, _ in selector.select(_TICK_S):
                if not key.data():
                    selector.unregister(key.fileobj)
            status = reap().get(command.pid)
            if status is not None:
                command.returncode = os.waitstatus_to_exitcode(status)
                return enclosure.natural_end(command.returncode)
            if run.cancel.exists():
                return Exit(ExitReason.CANCELLED)
            if time.monotonic() > deadline:
                return Exit(ExitReason.DEADLINE, detail=f"{order.timeout_s:g} s")
            if breach := enclosure.interruption() or limits.breach():
                return breach


def _blamed(run: RunFolder, end: Exit) -> Exit:
    """The end of a run that may have removed what its output would be read from: that is a failure of its own."""
    if run.out.is_dir() and not run.out.is_symlink():
        return end
    run.path.mkdir(parents=True, exist_ok=True)  # all of it may be gone, and its end has to be written there
    if end.reason is ExitReason.EXITED and end.code == 0:
        return Exit(ExitReason.EXITED, 1, detail="it removed its output folder")
    return end


class _Alarm:
    """A file descriptor that becomes readable when a child ends, so that waiting for output also waits for ends."""

    def __enter__(self) -> _Alarm:
        self.fd, self._write_end = os.pipe()
        for fd in (self.fd, self._write_end):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        os.close(self.fd)
        os.close(self._write_end)

    def clear(self) -> bool:
        os.read(self.fd, 4096)
        return True


if __name__ == "__main__":
    main()
