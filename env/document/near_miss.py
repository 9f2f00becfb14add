"""Why a text that an agent wants to replace does not occur: what was pasted, typed or indented in another way."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from env.document.document import Document

_MOST_CHARS = 20_000
"""Of a text whose near misses are looked for; nobody copies more of an editable range."""
_MOST_STARTS = 20
"""Places at which a text's first line stands that are compared further."""
_MOST_QUOTED = 120
"""Characters of a line."""
_NUMBERED = re.compile(r"^ *\d+(?::(?: |$)|  )", re.MULTILINE)
"""What a listing puts before a line, `    31: `, and the view after an edit, `    31  `."""
_CURLY = str.maketrans("\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f", "''''\"\"\"\"")
_ESCAPED = re.compile(r"\\(n|t|\"|')")
_PLAIN = {"n": "\n", "t": "\t", '"': '"', "'": "'"}


def explain_miss(document: Document, old: str) -> str | None:
    """One sentence on what keeps `old`, which the file does not hold, from being found; None if nothing is alike."""
    if len(old) > _MOST_CHARS:
        return None
    mended = old
    causes = []
    for cause, mend in _MENDS:
        other = mend(mended)
        if other != mended:
            mended = other
            causes.append(cause)
        if causes and mended.strip() and (place := document.text.find(mended)) >= 0:
            first, more = document.text.count("\n", 0, place) + 1, mended.count("\n", 0, -1)
            return f"It has {' and '.join(causes)}; without, it stands at {_lines(first, more)}."
    wanted = mended.strip("\n").split("\n")
    return _blanks(document, wanted, causes) or _beginning(document, wanted)


def _without_numbers(text: str) -> str:
    lines = [line for line in text.split("\n") if line.strip()]
    return _NUMBERED.sub("", text) if lines and all(_NUMBERED.match(line) for line in lines) else text


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: _PLAIN[found[1]], text)


_MENDS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("the listing's line numbers before its lines", _without_numbers),
    ("curly quotes where the file has straight ones", lambda text: text.translate(_CURLY)),
    ("escapes such as \\n written out as two characters", _unescaped),
)


def _blanks(document: Document, wanted: Sequence[str], causes: Sequence[str]) -> str | None:
    """Where the same lines stand but for blanks and tabs, and the first of them that differs."""
    bare = ["".join(line.split()) for line in wanted]
    if not any(bare):
        return None
    lines = document.lines
    there = ["".join(line.split()) for line in lines]
    starts = [start for start in range(len(there) - len(bare) + 1) if there[start : start + len(bare)] == bare]
    if not starts:
        return None
    start = next((start for start in starts if _editable(document, start + 1, start + len(bare))), starts[0])
    also = f"It has {' and '.join(causes)}. Apart from that it" if causes else "It"
    apart = next((one for one in zip(wanted, lines[start:], strict=False) if one[0] != one[1]), None)
    told = "" if apart is None else f": {_difference(*apart)}"
    return f"{also} differs from {_lines(start + 1, len(bare) - 1)} in white space only{told}."


def _editable(document: Document, first: int, last: int) -> bool:
    return any(start <= first and last <= end for start, end in document.ranges)


def _difference(mine: str, theirs: str) -> str:
    """Of two lines with the same visible characters."""
    indent, kept = (line[: len(line) - len(line.lstrip())] for line in (mine, theirs))
    if indent != kept:
        return f"a line begins with {_shown(indent)} instead of {_shown(kept)}"
    if mine.rstrip() == theirs.rstrip():
        longer = "old_str" if len(mine) > len(theirs) else "the file"
        return f"{longer} has blanks at a line's end"
    return "within a line" + (", where it has a tab" if "\t" in mine else "")


def _shown(blanks: str) -> str:
    tabs, spaces = blanks.count("\t"), blanks.count(" ")
    parts = [f"{count} {name}{'s' if count > 1 else ''}" for count, name in ((tabs, "tab"), (spaces, "blank")) if count]
    return " and ".join(parts) or "no blank"


def _beginning(document: Document, wanted: Sequence[str]) -> str | None:
    """Where its first line stands, and the first of its lines that does not follow there."""
    lines = document.lines
    starts = [number for number, line in enumerate(lines) if wanted[0].strip() and line.strip() == wanted[0].strip()]
    if not starts or len(wanted) == 1:
        return None

    def fitting(start: int) -> int:
        pairs = zip(wanted, lines[start:], strict=False)
        return next((n for n, (mine, theirs) in enumerate(pairs) if mine.strip() != theirs.strip()), len(wanted))

    start = max(starts[:_MOST_STARTS], key=fitting)
    alike = fitting(start)
    place = start + alike
    if place >= len(lines):
        return f"It fits from line {start + 1} on, but the file ends before it does."
    return (
        f"Its first {alike} line(s) fit at line {start + 1}, but line {place + 1} of the file is "
        f"{_quoted(lines[place])} where it has {_quoted(wanted[alike])}."
    )


def _quoted(line: str) -> str:
    shown = line.strip()
    return f"`{shown[:_MOST_QUOTED]}{'…' if len(shown) > _MOST_QUOTED else ''}`"


def _lines(first: int, more: int) -> str:
    return f"line {first}" if not more else f"lines {first}..{first + more}"
