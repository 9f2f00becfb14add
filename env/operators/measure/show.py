"""What an operator sees of baselines being measured: a bar for each test, then a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean, stdev
from types import TracebackType
from typing import Any, Self

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from env.operators.measure.play import BaselineOutcome, BaselineTest
from leaderboard.naming import metric_column


class Shown:
    """Progress in a terminal; elsewhere a line for each test that is over."""

    def __init__(self, console: Console, title: str, tests: int) -> None:
        self._console = console
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

    def progress(self, part: BaselineTest, seen: Mapping[str, Any]) -> None:
        now = seen["progress"]
        bar = self._bars.get(_title(part))
        if bar is None:
            bar = self._bars[_title(part)] = self._progress.add_task(_title(part), total=None, news="")
        stage = f"{now['stage']}{', being evaluated' if now['evaluating'] else ''}" if now["stage"] else seen["status"]
        self._progress.update(bar, completed=now["step"], total=now["total_steps"], news=stage)

    def over(self, played: BaselineOutcome) -> None:
        if bar := self._bars.pop(_title(played.part), None):
            self._progress.remove_task(bar)
        self._progress.advance(self._all)
        losses = [f"{name} {value:.4f}" for (name, _), value in played.metrics.items() if value is not None][:1]
        told = ", ".join([f"{_title(played.part)}: {played.status}", *losses])
        self._progress.console.print(told, markup=False)
        if not played.succeeded:
            self._progress.console.print(played.told, markup=False)


def outcome(title: str, played: Sequence[BaselineOutcome]) -> Iterator[RenderableType]:
    """A row for each metric, a column for each baseline: mean, and standard deviation where seeds repeat."""
    names = list(dict.fromkeys(one.part.name for one in played))
    seeds = sorted({one.part.seed for one in played})
    table = Table(title=f"{title}, seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}")
    table.add_column(no_wrap=True)
    for name in names:
        table.add_column(name, justify="right")
    for metric, stage in dict.fromkeys(key for one in played for key in one.metrics):
        by_name = {
            name: [one.metrics.get((metric, stage)) for one in played if one.part.name == name] for name in names
        }
        table.add_row(
            metric_column(metric, stage), *(_cell([v for v in by_name[name] if v is not None]) for name in names)
        )
    yield table


def _cell(values: Sequence[float]) -> str:
    if not values:
        return "–"
    spread = f"\n± {stdev(values):.4f}" if len(values) > 1 else ""
    return f"{fmean(values):,.4f}{spread}"


def _title(part: BaselineTest) -> str:
    return f"{part.name}, seed {part.seed}"
