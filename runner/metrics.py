"""What a run says of itself: TRAIN_METRICS lines. Self-reported, shown as progress, never scored."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_NUMBER = r"[-+]?(?:[0-9]{1,18}(?:\.[0-9]{0,18})?(?:[eE][-+]?[0-9]{1,3})?|nan|inf)"
_LINE = re.compile(rf"TRAIN_METRICS: step=([0-9]{{1,12}}), train_loss=({_NUMBER}), val_loss=({_NUMBER})\Z")


@dataclass(frozen=True)
class TrainMetrics:
    """One TRAIN_METRICS line: losses in nats per token."""

    step: int
    train_loss: float
    val_loss: float

    @property
    def finite(self) -> bool:
        return math.isfinite(self.train_loss) and math.isfinite(self.val_loss)

    def __str__(self) -> str:
        return f"TRAIN_METRICS: step={self.step}, train_loss={self.train_loss:.4f}, val_loss={self.val_loss:.4f}"


def parse_train_metrics(line: str) -> TrainMetrics | None:
    """The metrics of one line of output, or None for any other line.

    Every character counts: the line is written by the agent's process, so nothing but the exact form is taken.
    """
    match = _LINE.fullmatch(line.strip())
    if match is None:
        return None
    return TrainMetrics(int(match[1]), float(match[2]), float(match[3]))
