"""Seeds of one code are one entry: a value for each seed, their mean, and how far they scatter. No SQL.

A value that its session chose among several is luckier than what the code will do next, and it stays so when the same
code is run at the same seed once more. So where a session could choose and the operator has run the code at other seeds
(confirmations, baselines), those values alone are counted.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean, stdev

from leaderboard.naming import COUNTS, baseline_name, is_baseline

_NO_VERDICT = "cancelled"
"""The one status beside `succeeded` that says nothing about the code: somebody stopped it."""
UNEDITED = "template"
"""What the unedited file is called among the baselines."""


@dataclass(frozen=True, kw_only=True)
class EntryRow:
    """One row of a board, as far as entries are made of it."""

    run_key: str
    session_id: str
    test: int
    agent: str
    code_sha256: str
    status: str
    seed: int | None
    finished_at: datetime
    value: float | None
    """In the column that ranks, lower being better; None where there is none, or it was not finite."""
    unedited: bool
    """Whether its files are those that the task gives."""
    chosen_from: int
    """How many tests its session had to choose from; 1 for a confirmation and for a baseline."""
    confirming: bool = False
    """Whether the operator had it run, to confirm another."""

    @property
    def operators(self) -> bool:
        """Whether no agent chose it."""
        return self.confirming or is_baseline(self.agent)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What is known of one code on one board."""

    name: str
    """Of the baseline that it is; else the agent of its first row."""
    baseline: bool
    """Whether it is one of the operator's baselines or the unedited file, whoever ran it."""
    first: EntryRow
    """Of the rows that are counted."""
    seeds: tuple[int | None, ...]
    """Those counted."""
    values: tuple[float, ...]
    """One for each of `seeds`."""
    chosen_from: int
    """The number of values that those counted are the best of, if they were chosen; else 1."""
    chosen_before: int
    """The same of all its rows, counted or not."""
    set_aside: int
    """How many seeds have a value that is not counted, because it was chosen and others were not."""
    failed: int
    """How many seeds the code was run at without coming to a value."""

    @property
    def code_sha256(self) -> str:
        return self.first.code_sha256

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def mean(self) -> float:
        return fmean(self.values)

    @property
    def sd(self) -> float | None:
        """The standard deviation over its seeds; None where it has only one."""
        return stdev(self.values) if self.n > 1 else None


@dataclass(frozen=True, kw_only=True)
class Noise:
    """How far the values of one code scatter over seeds, pooled over several codes."""

    sd: float
    """Standard deviation, in the unit of the column that ranks."""
    df: int
    """Its degrees of freedom."""
    entries: int
    """How many codes of the board it was measured on; 0 where it is that of the anchors."""


def entries(rows: Iterable[EntryRow]) -> list[Entry]:
    """The entries of the rows of one board, by mean, the lowest first. A code without any value makes none.

    Several rows of one seed count once: one that nobody chose before others, then the first that was finished, whatever
    its value is. Rows that name no seed count as one seed. Only what succeeded has a value.
    """
    by_code: defaultdict[str, list[EntryRow]] = defaultdict(list)
    for row in rows:
        by_code[row.code_sha256].append(row)
    found = [entry for of_code in by_code.values() if (entry := _entry(of_code)) is not None]
    return sorted(found, key=lambda one: (one.mean, one.first.run_key))


def noise(measured: Iterable[Sequence[float]]) -> Noise | None:
    """The noise of values over seeds, a sequence for each code; None where no code has two."""
    repeated = [values for values in measured if len(values) > 1]
    df = sum(len(values) - 1 for values in repeated)
    if not df:
        return None
    squares = sum((len(values) - 1) * stdev(values) ** 2 for values in repeated)
    return Noise(sd=math.sqrt(squares / df), df=df, entries=len(repeated))


def noise_of_baselines(found: Iterable[Entry]) -> Noise | None:
    """The noise of a board, measured on its baselines alone.

    An agent's code may fix its own seed, and would make everybody's differences look surer than they are.
    """
    return noise(one.values for one in found if one.baseline)


def _entry(rows: Sequence[EntryRow]) -> Entry | None:
    first: dict[int | None, EntryRow] = {}
    for row in sorted(rows, key=lambda one: (not one.operators, one.finished_at, one.run_key)):
        if row.status == COUNTS and row.value is not None and math.isfinite(row.value):
            first.setdefault(row.seed, row)
    if not first:
        return None
    chosen_before = max(row.chosen_from for row in rows)
    unchosen = [row for row in first.values() if row.operators or chosen_before <= 1]
    counted = unchosen or list(first.values())
    verdicts = {row.seed for row in rows if row.status != _NO_VERDICT}
    named = next((row for row in rows if is_baseline(row.agent)), None)
    unedited = any(row.unedited for row in rows)
    earliest = min(rows, key=lambda one: (one.finished_at, one.run_key))
    return Entry(
        name=baseline_name(named.agent) if named else UNEDITED if unedited else earliest.agent,
        baseline=named is not None or unedited,
        first=counted[0],
        seeds=tuple(row.seed for row in counted),
        values=tuple(row.value for row in counted if row.value is not None),
        chosen_from=1 if unchosen else chosen_before,
        chosen_before=chosen_before,
        set_aside=len(first) - len(counted),
        failed=len(verdicts - first.keys()),
    )
