"""Processes that are forked from the rehearsal's own, so that torch is imported once for all of them."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, TypedDict, cast

from runner.inside.findings import ERRORS, MAX_LINES, OTHER_ERROR, FindingKind, Part, form_of, wants_gpu

REPORT_BYTES = 16 << 10
"""The most that a child may report."""
_TICK_S = 0.5


class FindingEntry(TypedDict, total=False):
    """What a part found, as it stands in the report."""

    part: str
    kind: str
    error: str
    form: str
    lines: list[int]
    length: int
    figure: float


class CostEntry(TypedDict):
    """How the model's cost grows with the length of its input, as it stands in the report."""

    rise: float | None
    subquadratic: bool | None
    """None where it could not be counted."""


class Said(TypedDict, total=False):
    """What a child tells its parent."""

    finding: FindingEntry | None
    parameters: int
    cost: CostEntry


class Child:
    """A forked process that does one thing, reports it, and is gone."""

    def __init__(self, work: Callable[[], Said], part: Part, script: Path, environment: dict[str, str]) -> None:
        """Runs `work` in a process of its own group, with `environment` on top of what there is."""
        self.part = part
        self.said: Said | None = None
        """Its report, once it is over; None if it ended without."""
        self.over_at: float | None = None
        """When it closed its pipe, by the monotonic clock."""
        self.status: int | None = None
        """Its exit status, negative for a signal's number; None until it was ended."""
        self._read, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._read)
            os.setpgid(0, 0)
            os.environ.update(environment)
            _do(work, part, script, write)
        os.close(write)
        self._heard = b""

    def listen(self) -> None:
        """Takes what it says, until the pipe closes."""
        piece = os.read(self._read, REPORT_BYTES)
        self._heard += piece
        if piece and len(self._heard) <= REPORT_BYTES:
            return
        self.over_at = time.monotonic()
        os.close(self._read)
        with suppress(ValueError):
            said = json.loads(self._heard[:REPORT_BYTES])
            self.said = cast(Said, said) if isinstance(said, dict) else None

    @property
    def over(self) -> bool:
        return self.over_at is not None

    def fileno(self) -> int:
        return self._read

    def end(self) -> None:
        """Takes its exit status; kills what is left of it and of its own children."""
        if self.status is not None:
            return
        if self.over:  # it closes its pipe a moment before it is gone
            patience = time.monotonic() + _TICK_S
            flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
            while os.waitid(os.P_PID, self.pid, flags) is None and time.monotonic() < patience:
                time.sleep(0.002)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def wait_for(children: Sequence[Child], until: float, enough: Callable[[], bool] = lambda: False) -> None:
    """Listens to all of them until every one is over, it is `until` by the monotonic clock, or it is `enough`."""
    while (waiting := [child for child in children if not child.over]) and not enough():
        left = until - time.monotonic()
        if left <= 0:
            return
        ready, _, _ = select.select(waiting, [], [], min(left, _TICK_S))
        for child in ready:
            child.listen()


def finding_of(child: Child) -> FindingEntry | None:
    """What a child found, or what its silence means; None where all was well."""
    if not child.over:
        return FindingEntry(part=child.part, kind=FindingKind.LATE)
    if child.said is None:
        return FindingEntry(part=child.part, kind=FindingKind.ENDED)
    return child.said.get("finding")


def blamed(error: BaseException, part: Part, script: Path) -> FindingEntry:
    """An exception of the agent's code, in what may be told of it."""
    chain = [error]
    while (cause := chain[-1].__cause__) is not None and len(chain) < 8:
        chain.append(cause)
    inner = chain[-1]
    message = str(inner) or str(error)
    kind = FindingKind.NEEDS_GPU if wants_gpu(f"{type(inner).__name__}: {message}") else FindingKind.RAISED
    name = type(inner).__name__
    frames = traceback.extract_tb(inner.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == script and frame.lineno]
    if isinstance(inner, SyntaxError) and inner.lineno:
        lines.append(inner.lineno)
    return FindingEntry(
        part=part,
        kind=kind,
        error=name if name in ERRORS else OTHER_ERROR,
        form=form_of(message) or form_of(str(error)),
        lines=lines[-MAX_LINES:],
    )


def _do(work: Callable[[], Said], part: Part, script: Path, write: int) -> NoReturn:
    """The child's whole life. Nothing that it inherited runs at its end."""
    said: Said = {}
    try:
        said = work()
    except BaseException as error:
        if not (isinstance(error, SystemExit) and not error.code):
            traceback.print_exc()
            said = {"finding": blamed(error, part, script)}
    finally:
        with suppress(BaseException):
            os.write(write, json.dumps(said).encode())
        with suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(0)
