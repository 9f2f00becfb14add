"""Figures that others have published for tasks of the same names: references for readers, never ranked with ours."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, FiniteFloat

MARK = "published, other data, self-reported"
"""What stands beside each of them, wherever it is shown."""

_FILE = Path(__file__).parent / "published.toml"


class PublishedSource(BaseModel):
    """Who published the figures, and how they came about."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    title: str
    reference: str
    date: str
    data: str
    hardware: str
    scale: str
    """The scale here whose model and number of tokens are the same."""
    seed: int


class _Figures(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    task: str
    baseline: str
    baseline_val_loss: FiniteFloat
    agent_val_loss: FiniteFloat


class _File(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    source: PublishedSource
    figures: list[_Figures]


@dataclass(frozen=True, kw_only=True)
class PublishedFigure:
    """One result as it was published."""

    task_id: str
    kind: Literal["baseline", "agent"]
    name: str
    """Of the baseline; of agents only that it is the best of five is told here."""
    val_loss: float
    """Nats per token, as the training process reported it."""


@dataclass(frozen=True)
class Published:
    """All figures of one source, baselines before agents in each task."""

    source: PublishedSource
    figures: tuple[PublishedFigure, ...]

    def of(self, task_id: str, scale: str | None) -> tuple[PublishedFigure, ...]:
        """Those beside a task's board at a scale, or at whichever there are where it is None."""
        if scale not in (None, self.source.scale):
            return ()
        return tuple(figure for figure in self.figures if figure.task_id == task_id)


@cache
def published() -> Published:
    """What `published.toml` holds."""
    file = _File.model_validate(tomllib.loads(_FILE.read_text(encoding="utf-8")))
    return Published(file.source, tuple(figure for row in file.figures for figure in _two(row)))


def _two(row: _Figures) -> tuple[PublishedFigure, PublishedFigure]:
    return (
        PublishedFigure(task_id=row.task, kind="baseline", name=row.baseline, val_loss=row.baseline_val_loss),
        PublishedFigure(task_id=row.task, kind="agent", name="best of five agents", val_loss=row.agent_val_loss),
    )
