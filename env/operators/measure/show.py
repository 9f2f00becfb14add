"""What an operator sees of baselines being measured: a bar for each test, then a table."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from env.operators.measure.play import BaselineOutcome, BaselineTest
from leaderboard.naming import metric_column
from ringfence.api.sessions import TestView


class Shown:
    """Progress in a terminal; elsewhere a line for each test that is over."""

    def __init__(self, console: Console, title: str, tests: int, *, tasks: bool = False) -> None:
        """`tasks`: of several tasks, so that each test is shown with its own."""
        self._tasks = tasks
        columns = (TextColumn("{task.description:<28}", markup=False), BarColumn(30), TextColumn("{task.fields[news]}"))
        self._progress = Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal)
        self._all = self._progress.add_task(title, total=tests, news="")
        self._bars: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def progress(self, test: BaselineTest, seen: TestView) -> None:
        now, title = seen.progress, self._title(test)
        bar = self._bars.get(title)
        if bar is None:
            bar = self._bars[title] = self._progress.add_task(title, total=None, news="")
        stage = f"{now.stage}{', being evaluated' if now.evaluating else ''}" if now.stage else seen.status
        self._progress.update(bar, completed=now.step, total=now.total_steps, news=stage)

    def over(self, outcome: BaselineOutcome) -> None:
        title = self._title(outcome.test)
        if bar := self._bars.pop(title, None):
            self._progress.remove_task(bar)
        self._progress.advance(self._all)
        losses = [f"{name} {value:.4f}" for (name, _), value in outcome.metrics.items() if value is not None][:1]
        self._progress.console.print(", ".join([f"{title}: {outcome.status}", *losses]), markup=False)
        if not outcome.succeeded:
            self._progress.console.print(outcome.told, markup=False)

    def _title(self, test: BaselineTest) -> str:
        return f"{f'{test.task.id}: ' if self._tasks else ''}{test.name}, seed {test.seed}"


def outcome_table(title: str, outcomes: Sequence[BaselineOutcome]) -> Table:
    """A row for each metric, a column for each baseline: mean, and standard deviation where seeds repeat."""
    names = list(dict.fromkeys(one.test.name for one in outcomes))
    seeds = sorted({one.test.seed for one in outcomes})
    table = Table(title=f"{title}, seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}")
    table.add_column(no_wrap=True)
    for name in names:
        table.add_column(name, justify="right")
    for metric, stage in dict.fromkeys(key for one in outcomes for key in one.metrics):
        by_name = {
            name: [one.metrics.get((metric, stage)) for one in outcomes if one.test.name == name] for name in names
        }
        cells = (_cell([value for value in by_name[name] if value is not None]) for name in names)
        table.add_row(metric_column(metric, stage), *cells)
    return table


def _cell(values: Sequence[float]) -> str:
    if not values:
        return "–"
    spread = f"\n± {stdev(values):.4f}" if len(values) > 1 else ""
    return f"{fmean(values):,.4f}{spread}"
