"""Exam texts: each is for one evaluation alone, and no run has seen any of it before.

The smoke text is written anew. Of other data sets it is drawn from a reserve, `<set>/reserve/reserve.bin`: tokens of
documents that no training reads, cut into windows of which each is given out once. What was given out is kept beside
the reserve; it tells nothing of what comes next.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from secrets import SystemRandom

from runner.data.author import write_unforeseeable
from runner.data.items import exam_sets
from runner.data.smoke import byte_tokens

SMOKE_BYTES = 700_000
PASSAGES = 2048
"""Passages in an exam that is drawn from a reserve."""
WINDOW = 1025
"""Tokens of a reserve that are given out together: one passage of the longest context there is an exam for."""
TEXT_FILE = "exam.bin"
RESERVE, RESERVE_FILE = "reserve", "reserve.bin"
"""The folder in a data set with its reserve, and the token file there: uint16, little-endian."""
_GIVEN_OUT = "given-out.json"


class NoExam(Exception):
    """There is no text for an exam; the message is one line that says why."""


def write_exam(data_dir: Path, data_set: str, block_size: int, folder: Path) -> None:
    """Write texts of the data set that no run has seen into `folder`. Raises NoExam.

    TEXT_FILE comes last, whole or not at all: its presence says that nothing is missing. It holds tokens (uint16,
    little-endian), from a reserve as passages of block_size + 1 tokens, one after another. The smoke texts come with
    JSON lines under the names that the held-out data has for such.
    """
    try:
        if data_set == "smoke":
            for name, items in exam_sets(write_unforeseeable(SMOKE_BYTES), SystemRandom()).items():
                (folder / name).write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
        tokens = _smoke_text() if data_set == "smoke" else _drawn(data_dir / data_set / RESERVE, block_size)
        draft = folder / f".{TEXT_FILE}"
        draft.write_bytes(tokens)
        draft.replace(folder / TEXT_FILE)
    except OSError as error:
        raise NoExam(f"{error.filename or folder}: {error.strerror or error}") from error


def exams_left(data_dir: Path, data_set: str, block_size: int) -> int:
    """How many exams the data set's reserve still has text for. Raises NoExam where there is none to draw from."""
    reserve = data_dir / data_set / RESERVE
    try:
        return len(_left(reserve, _given_out(reserve))) // _windows(block_size)
    except OSError as error:
        raise NoExam(f"{error.filename or reserve}: {error.strerror or error}") from error


def _smoke_text() -> bytes:
    return byte_tokens("".join(f"{document}\n" for document in write_unforeseeable(SMOKE_BYTES)))


def _windows(block_size: int) -> int:
    """How many windows an exam takes."""
    if block_size >= WINDOW:
        raise NoExam(f"a passage of {block_size + 1} tokens is longer than the {WINDOW} of a window of the reserve")
    return -(-PASSAGES // (WINDOW // (block_size + 1)))


def _drawn(reserve: Path, block_size: int) -> bytes:
    wanted = _windows(block_size)
    with (reserve / RESERVE_FILE).open("rb") as file, (reserve / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        given_out = _given_out(reserve)
        left = _left(reserve, given_out)
        if len(left) < wanted:
            raise NoExam(f"the reserve {reserve} is used up: {len(left)} windows are left where {wanted} are needed")
        chosen = SystemRandom().sample(left, wanted)
        # On disk before anybody gets them: whoever is killed in between loses windows, and repeats none.
        _write_given_out(reserve, given_out | _bits(chosen))
        passages = []
        for number in chosen:
            file.seek(2 * WINDOW * number)
            window = file.read(2 * WINDOW)
            length = 2 * (block_size + 1)
            passages += [window[start : start + length] for start in range(0, len(window) - length + 1, length)]
    return b"".join(passages[:PASSAGES])


def _left(reserve: Path, given_out: int) -> list[int]:
    """The windows that nobody has had."""
    count = (reserve / RESERVE_FILE).stat().st_size // (2 * WINDOW)
    bits = given_out.to_bytes(count // 8 + 1, "little")
    return [number for number in range(count) if not bits[number >> 3] >> (number & 7) & 1]


def _bits(windows: list[int]) -> int:
    bits = bytearray(max(windows) // 8 + 1)
    for number in windows:
        bits[number >> 3] |= 1 << (number & 7)
    return int.from_bytes(bits, "little")


def _given_out(reserve: Path) -> int:
    """A bit for each window that was given out. Raises NoExam where it is of another reserve."""
    try:
        state = json.loads((reserve / _GIVEN_OUT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return 0
    if (state["bytes"], state["window"]) != ((reserve / RESERVE_FILE).stat().st_size, WINDOW):
        raise NoExam(f"{reserve / _GIVEN_OUT} is of another {RESERVE_FILE}: remove it if this one was never drawn from")
    return int(state["given_out"], 16)


def _write_given_out(reserve: Path, bits: int) -> None:
    draft = reserve / f".{_GIVEN_OUT}"
    size = (reserve / RESERVE_FILE).stat().st_size
    with draft.open("w", encoding="utf-8") as file:
        json.dump({"bytes": size, "window": WINDOW, "given_out": f"{bits:x}"}, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(reserve / _GIVEN_OUT)
    folder = os.open(reserve, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
