"""Which part of a leaderboard a page shows, as its address says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from leaderboard.table import MAX_OFFSET, QueryError, TableQuery

PAGE_ROWS = 50
MAX_RUNS = 24
"""The most curves that one chart shows."""
_MAX_TEXT = 200


class BadValue(QueryError):
    """A part of the address that can't be what it says."""


@dataclass(frozen=True, kw_only=True)
class BoardAddress:
    """Everything a task's page can be asked for; `address` is its inverse."""

    board: str | None = None
    """The id of the one board that is shown."""
    scale: str | None = None
    """Of the board that is shown where none is named."""
    status: str | None = None
    agent: str | None = None
    final: bool = True
    sort: str | None = None
    page: int = 1
    runs: tuple[str, ...] = ()
    """Keys of the runs whose curves are shown; none: the page chooses."""

    @staticmethod
    def of(values: Mapping[str, Sequence[str]]) -> BoardAddress:
        """Read the parameters of an address; unknown ones are ignored. Raises BadValue."""
        texts = {name: _text(name, given) for name, given in values.items() if name != "run"}
        final = texts.get("final") or "true"
        if final not in ("true", "false"):
            raise BadValue(f"final must be true or false, not {final!r}")
        runs = tuple(dict.fromkeys(_text("run", [given]) for given in values.get("run", ())))
        if len(runs) > MAX_RUNS:
            raise BadValue(f"at most {MAX_RUNS} runs fit into one chart, not {len(runs)}")
        return BoardAddress(
            board=texts.get("board") or None,
            scale=texts.get("scale") or None,
            status=texts.get("status") or None,
            agent=(texts.get("agent") or "").strip() or None,
            final=final == "true",
            sort=texts.get("sort") or None,
            page=_page(texts.get("page") or "1"),
            runs=runs,
        )

    def query(self) -> TableQuery:
        """What the leaderboard is asked for one page of its table."""
        return TableQuery(
            board=self.board,
            scale=self.scale,
            status=self.status,
            agent=self.agent,
            final=self.final,
            sort=self.sort,
            limit=PAGE_ROWS,
            offset=(self.page - 1) * PAGE_ROWS,
        )

    def parameters(self) -> list[tuple[str, str]]:
        """The parameters that differ from those of a bare address; the chosen runs are not among them."""
        default = BoardAddress()
        named = {
            "board": self.board,
            "scale": self.scale,
            "status": self.status,
            "agent": self.agent,
            "sort": self.sort,
        }
        found = [(name, value) for name, value in named.items() if value is not None]
        if self.final != default.final:
            found.append(("final", "false"))
        if self.page != default.page:
            found.append(("page", str(self.page)))
        return found

    def address(self, **changes: object) -> str:
        """`?…` for this query with other values; back to the first page unless a page is named."""
        changed = replace(self, **{"page": 1, **changes})  # type: ignore[arg-type]
        return "?" + urlencode([*changed.parameters(), *(("run", key) for key in changed.runs)])


def _text(name: str, given: Sequence[str]) -> str:
    value = given[-1] if given else ""
    if "\x00" in value or len(value) > _MAX_TEXT:
        raise BadValue(f"{name} must be a text of at most {_MAX_TEXT} characters without NUL")
    return value


def _page(text: str) -> int:
    highest = MAX_OFFSET // PAGE_ROWS
    if not (text.isascii() and text.isdecimal() and len(text) < 12 and 1 <= int(text) <= highest):
        raise BadValue(f"page must be a whole number from 1 to {highest}, not {text[:20]!r}")
    return int(text)
