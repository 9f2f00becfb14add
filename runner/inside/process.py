"""The worker as a process: started with two pipes and nothing else, its last words kept, killed with its children."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

from runner.inside.wire import Wire

WITHHELD = ("EVAL_DATA_DIR", "EVAL_TOKENS", "INPUT_DIR", "OUT_DIR", "TOKENIZER")
"""Environment variables that are the evaluator's business only."""
KEPT = 8192
"""Bytes of the worker's standard error that are remembered: the end of a traceback."""


class WorkerProcess:
    """One worker. Its standard output goes nowhere: the agent's code may print as it likes."""

    def __init__(self) -> None:
        request_read, request_write = os.pipe()
        reply_read, reply_write = os.pipe()
        self.wire = Wire(reply_read, request_write)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "runner.inside.worker", str(request_read), str(reply_write)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if name not in WITHHELD},
            pass_fds=(request_read, reply_write),
            start_new_session=True,
        )
        os.close(request_read)
        os.close(reply_write)
        self._tail = b""
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def post_mortem(self) -> tuple[str, str]:
        """How the worker ended and the last line it wrote to standard error. Kills it if it has not ended."""
        try:
            code = self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self._kill()
            return "it closed its pipe", self._last_line()
        self._listener.join(timeout=1)
        return (f"killed by {_signal_name(-code)}" if code < 0 else f"exit {code}"), self._last_line()

    def close(self) -> None:
        """Kill the worker and everything in its process group."""
        self._kill()
        self.wire.close()
        self._listener.join(timeout=1)

    def _kill(self) -> None:
        if self._process.returncode is None:  # once it is reaped, its group's number may belong to others
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            while data := os.read(stream.fileno(), 65536):
                self._tail = (self._tail + data)[-KEPT:]

    def _last_line(self) -> str:
        lines = [line.strip() for line in self._tail.decode(errors="replace").splitlines()]
        return next((line for line in reversed(lines) if line), "")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
