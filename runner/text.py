"""What a run printed, as text: made harmless, and of a failure the part that helps."""

from __future__ import annotations

import re
import unicodedata

from runner.causes import deaths, explained
from runner.metrics import parse_train_metrics
from runner.tracebacks import BANNER, LAUNCHER_WARNING, Traceback, find_tracebacks, shortened

MAX_LINE = 2000
"""How many characters of a line are kept."""
_LOOK_BACK, _LOOK_BACK_LINES = 256 << 10, 20_000  # bytes and lines of a stream in which the error is looked for
_STDOUT_LINES = 5

# Terminal control sequences (ECMA-48), each bounded by its own alphabet, so that matching takes linear time. A string
# sequence that is never closed ends at its line: what comes after is wanted more than a title.
_SEQUENCES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]?"  # CSI: colours, cursor movements
    r"|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?"  # OSC, DCS, SOS, PM, APC: titles, links, device strings
    r"|\x1b[ -/]*[0-~]?"  # everything else
)
# Of these categories a reader sees nothing, or only that other characters are shown otherwise: controls, formats
# (zero width, writing direction, tags), surrogates, private use, unassigned, and line separators that are not newlines.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Drawn as nothing though their category says letter, mark or symbol.
_EMPTY = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U00016fe4\U0001d159"
    "\U000e0100-\U000e01ef]"
)


def readable(raw: bytes) -> str:
    """Text of bytes from a hostile process: UTF-8, no control characters or escapes, no line over MAX_LINE.

    Of a line that was overwritten after carriage returns, as progress bars do, the last state is left.
    """
    text = _SEQUENCES.sub("", raw.decode("utf-8", errors="replace"))
    if "\r" in text:
        text = "\n".join(_last_state(line) for line in text.split("\n"))
    return "\n".join(_capped(line) for line in _seen(text).split("\n"))


def _seen(text: str) -> str:
    """The text without characters that nobody sees."""
    hidden = {
        ord(one): None
        for one in set(text)
        if one not in "\t\n" and (unicodedata.category(one) in _HIDDEN or _EMPTY.match(one))
    }
    return text.translate(hidden) if hidden else text


def _last_state(line: str) -> str:
    line = line.rstrip("\r")
    return line[line.rfind("\r") + 1 :]


def _capped(line: str) -> str:
    if len(line) <= MAX_LINE:
        return line
    return f"{line[:MAX_LINE]} [... {len(line) - MAX_LINE} more characters]"


def useful_end(stdout: bytes, stderr: bytes, limit_chars: int) -> str:
    """At most `limit_chars` characters, readable, of what helps most with a failed run.

    The traceback of the script itself, if there is one: not the launcher's, and not that of a process which only
    noticed the end of another, unless that one left none; then what is known of its end stands before it. With it, if
    there is room, the last few lines of stdout: people debug with print.
    Otherwise the last lines, without the launcher's logging.
    """
    printed, errors = _Stream(stdout), _Stream(stderr)
    if (traceback := errors.of_the_script()) is None:
        if traceback := printed.of_the_script():
            return _fitted(traceback, limit_chars)
        return _last("\n".join(errors.without_launcher() or printed.without_launcher()), limit_chars)
    died = "\n".join(errors.deaths()) if traceback.consequence else ""
    text = f"{died}\n\n{_fitted(traceback, limit_chars - len(died) - 2)}" if died else _fitted(traceback, limit_chars)
    lines = printed.without_launcher()[-_STDOUT_LINES:]
    addition = "\n".join(["", "", "Last lines of stdout:", *lines])
    return text + addition if lines and len(text) + len(addition) <= limit_chars else text


class _Stream:
    """The end of stdout or stderr, and the tracebacks in it."""

    def __init__(self, raw: bytes) -> None:
        self._lines = readable(raw[-_LOOK_BACK:]).split("\n")[-_LOOK_BACK_LINES:]
        self._tracebacks = find_tracebacks(self._lines)

    def of_the_script(self) -> Traceback | None:
        candidates = [traceback for traceback in self._tracebacks if not traceback.from_launcher]
        return min(candidates, key=lambda traceback: traceback.consequence, default=None)

    def deaths(self) -> list[str]:
        """What is told of processes that died without a traceback."""
        return deaths(self._lines)

    def without_launcher(self) -> list[str]:
        """The lines that tell more than the launcher does, and than the metrics, which are shown by themselves."""
        lines = self._lines
        for wrapper in [traceback for traceback in self._tracebacks if traceback.from_launcher][:1]:
            lines = lines[: wrapper.begin] + _after_report(lines[wrapper.end :])
        kept = [line for line in lines if not LAUNCHER_WARNING.match(line) and parse_train_metrics(line) is None]
        while kept and not kept[-1].strip():
            kept.pop()
        return kept


def _after_report(lines: list[str]) -> list[str]:
    """The launcher's report on its processes stands between two banners."""
    banners = [at for at, line in enumerate(lines) if BANNER.match(line)][:2]
    return lines[banners[-1] + 1 :] if banners else lines


def _fitted(traceback: Traceback, limit: int) -> str:
    """The exception from its beginning, and before it as many frames, innermost first, as there is room for."""
    frames, message = "\n".join(shortened(traceback.frames)), "\n".join(explained(traceback.message))
    message = message[: max(limit // 2, limit - len(frames) - 1)]
    return f"{_last(frames, limit - len(message) - 1)}\n{message}".lstrip("\n")


def _last(text: str, limit: int) -> str:
    """The last whole lines of `text` in `limit` characters, and a word on what is missing."""
    if len(text) <= limit:
        return text
    mark = "[... earlier lines left out]\n"
    end = text[len(text) - limit + len(mark) :]
    return mark + end[end.find("\n") + 1 :]
