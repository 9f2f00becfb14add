"""Python tracebacks in output that several processes wrote at once: they are found here, and shortened for reading."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

_RANK = re.compile(r"\[(?:rank|default)(\d{1,5})\]: ?")
_START = re.compile(r"(?:Original )?Traceback \(most recent call last\):$")
_GROUP = "  + Exception Group Traceback (most recent call last):"
_EXCEPTION = re.compile(r"[^\W\d][\w.<>]*(?:: |:?$)")
_SYNTAX_FRAME = re.compile(r'  File "[^"]*", line \d+$')
_SYNTAX_ERROR = re.compile(r"(?:SyntaxError|IndentationError|TabError): ")
_LINKS = (
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
)
_LAUNCHER = re.compile(r"torch\.distributed\.elastic\.|subprocess\.CalledProcessError|SystemExit")
_CONSEQUENCE = re.compile(
    r"KeyboardInterrupt|torch\.distributed\.Dist"
    r"|.{0,300}?(?:[Cc]onnection (?:closed|reset|refused)|Broken pipe|[Tt]imed out)"
)
BANNER = re.compile(r"={20,}$")
"""Opens and closes the launcher's report on its processes."""
LAUNCHER_WARNING = re.compile(
    r"\[?[IW]\d{3,4} \d\d:\d\d:\d\d|E\d{4} .{0,80} torch/distributed/elastic/.{0,80}failed \(exitcode: \d"
)
"""What launcher and communication library log without being asked: `W0414 22:14:20…`, `[W414 22:14:20…`.

Also that a process ended with a status of its own, which the process said itself; an end by a signal is news.
"""
_LOGGED = re.compile(r"\[?[IWE]\d{3,4} \d\d:\d\d:\d\d")
_MAX_MESSAGE_LINES = 20
_INSTALLED = re.compile(r'(  File ")[^"]*/(?:site|dist)-packages/(([^"/]+)[^"]*".*)')


class _Line(NamedTuple):
    at: int
    """Position in the whole output."""
    text: str


@dataclass(frozen=True)
class Traceback:
    frames: tuple[str, ...]
    """Everything before the last exception, earlier exceptions of a chain included."""
    message: tuple[str, ...]
    """The last exception, over one or more lines."""
    begin: int
    end: int
    """Positions of the first line and after the last one."""

    @property
    def from_launcher(self) -> bool:
        """It tells only that another process failed."""
        return _LAUNCHER.match(self.message[0]) is not None

    @property
    def consequence(self) -> bool:
        """It may be due to the end of another process, which knows more."""
        return _CONSEQUENCE.match(self.message[0]) is not None


def find_tracebacks(lines: Sequence[str]) -> list[Traceback]:
    """Every complete traceback, in the order in which they begin; `[rank0]: ` and the like are taken off.

    One pass: the time is linear in the output, whatever it holds.
    """
    found = [traceback for stream in _by_rank(lines) for traceback in _in_stream(stream)]
    return sorted(found, key=lambda traceback: traceback.begin)


def _by_rank(lines: Iterable[str]) -> Iterable[list[_Line]]:
    streams: dict[str, list[_Line]] = {}
    for at, text in enumerate(lines):
        rank = _RANK.match(text)
        streams.setdefault(rank[1] if rank else "", []).append(_Line(at, text[rank.end() :] if rank else text))
    return streams.values()


def _in_stream(lines: list[_Line]) -> list[Traceback]:
    found: list[Traceback] = []
    i = 0
    while i < len(lines):
        if _START.match(lines[i].text):
            reader = _Reader(lines, i)
            found += reader.read()
            i = reader.i
        elif lines[i].text == _GROUP:
            end = _end_of_group(lines, i)
            found.append(_cut(lines, i, min(i + 1, end - 1), end))
            i = end
        elif _SYNTAX_FRAME.match(lines[i].text) and (error := _syntax_error(lines, i)) is not None:
            found.append(_cut(lines, i, error, error + 1))
            i = error + 1
        else:
            i += 1
    return found


def _syntax_error(lines: list[_Line], i: int) -> int | None:
    """Where the error is of a script that can't be compiled: Python prints place and error, but no `Traceback` line."""
    near = range(i + 1, min(i + 10, len(lines)))
    return next((j for j in near if _SYNTAX_ERROR.match(lines[j].text)), None)


def _end_of_group(lines: list[_Line], i: int) -> int:
    while i < len(lines) and lines[i].text.startswith("  "):
        i += 1
    return i


def _cut(lines: list[_Line], begin: int, message: int, end: int) -> Traceback:
    frames = dict.fromkeys(line.text for line in lines[begin:message])  # once, if several ranks printed it together
    texts = tuple(line.text for line in lines[message:end])
    return Traceback(tuple(frames), texts, lines[begin].at, lines[end - 1].at + 1)


class _Reader:
    """Reads one traceback, chained exceptions included, from position `i`; leaves `i` behind it."""

    def __init__(self, lines: list[_Line], i: int) -> None:
        self._lines = lines
        self._begin = lines[i].at
        self.i = i

    def read(self) -> list[Traceback]:
        frames: list[str] = []
        while True:
            part, message = self._one()
            if not message:
                return []  # cut off
            following = self._next_in_chain()
            frames += part
            if following is None:
                end = self._lines[self.i - 1].at + 1
                return [Traceback(tuple(frames), tuple(message), self._begin, end)]
            frames += message
            frames += [line.text for line in self._lines[self.i : following]]
            self.i = following

    def _one(self) -> tuple[list[str], list[str]]:
        """Frames and message of one exception, or of equal ones that ranks print line between line."""
        frames: list[str] = []
        exceptions: list[str] = []
        copies = 0
        while len(exceptions) < max(copies, 1) and self.i < len(self._lines):
            text = self._lines[self.i].text
            self.i += 1
            if _START.match(text):
                copies += 1
                frames.append(text)
            elif not text or text[0].isspace():
                frames.append(text)
            elif _EXCEPTION.match(text):
                exceptions.append(text)
        if not exceptions:
            return [], []
        if copies > 1:
            frames = list(dict.fromkeys(frames))
        return frames, [exceptions[0], *self._rest_of_message()]

    def _rest_of_message(self) -> list[str]:
        rest: list[str] = []
        while self.i < len(self._lines) and len(rest) < _MAX_MESSAGE_LINES:
            text = self._lines[self.i].text
            if not text.strip() or _START.match(text) or _LOGGED.match(text) or BANNER.match(text):
                break
            rest.append(text)
            self.i += 1
        return rest

    def _next_in_chain(self) -> int | None:
        """Where the next traceback of the chain starts, if this one is not the last."""
        i, linked = self.i, False
        while i < len(self._lines):
            text = self._lines[i].text
            if _START.match(text):
                return i if linked or text.startswith("Original") else None
            if text in _LINKS:
                linked = True
            elif text.strip():
                return None
            i += 1
        return None


def shortened(frames: Sequence[str]) -> list[str]:
    """The frames without the host's folders, and with calls from one library function to the next in one line.

    The last frame of all is kept whatever it is in: it raised the exception.
    """
    blocks = list(_blocks(frames))
    last = len(blocks) - 1
    lines: list[str] = []
    for library, group in groupby(enumerate(blocks), key=lambda item: None if item[0] == last else _library(item[1])):
        inner = [block for _, block in group]
        if library is None or len(inner) == 1:
            lines += [_without_folders(line) for block in inner for line in block]
        else:
            lines.append(f"  [... {len(inner)} calls inside {library} ...]")
    return lines


def _blocks(frames: Sequence[str]) -> Iterator[list[str]]:
    """Each frame with the lines of code below it; other lines alone."""
    block: list[str] = []
    for line in frames:
        if block and not line.startswith("    "):
            yield block
            block = []
        block.append(line)
    if block:
        yield block


def _library(block: Sequence[str]) -> str | None:
    installed = _INSTALLED.match(block[0])
    return installed[3] if installed else None


def _without_folders(line: str) -> str:
    return _INSTALLED.sub(r"\1\2", line)
