"""What a training process said of its losses, held against what is known: notes for the reader, no verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from runner.metrics import TrainMetrics

GAP_NATS = 0.5
"""Dev and held-out splits are different texts of one kind. With three seeds at smoke scale the evaluator's loss was
0.06 to 0.15 nats above the last reported one; in the recorded runs at full scale they were within 0.03, but for one
that had a spike. This is three times the most that was seen."""
START_NATS = 1.0
"""An untrained model whose input and output embeddings are tied guesses that tokens are repeated. It started up to 0.18
nats below the uniform guess at smoke scale, 0.1 at full scale."""


def first_val_loss(series: Sequence[TrainMetrics]) -> float | None:
    """Reported before the first update; None if there was no such report."""
    return series[0].val_loss if series and series[0].step == 0 and series[0].finite else None


def last_val_loss(series: Sequence[TrainMetrics]) -> float | None:
    """Of the last report; None if there was none, or no number in it."""
    return series[-1].val_loss if series and series[-1].finite else None


def uniform_loss(settings: Mapping[str, str]) -> float | None:
    """Nats per token of a model that knows nothing: ln V. None where the scale names no vocabulary."""
    size = settings.get("VOCAB_SIZE", "")
    return math.log(int(size)) if size.isdecimal() and int(size) > 0 else None


def start_note(series: Sequence[TrainMetrics], settings: Mapping[str, str]) -> str:
    """On a training that claims to know its data before it has seen any."""
    first, uniform = first_val_loss(series), uniform_loss(settings)
    if first is None or uniform is None or first > uniform - START_NATS:
        return ""
    return (
        f"The training reported val_loss={first:.4f} before its first update, where a model that knows nothing is at "
        f"about ln({settings['VOCAB_SIZE']}) = {uniform:.4f}. What it reports is another quantity than the "
        "cross-entropy of the next token, or the model gets to see that token."
    )


def gap_note(series: Sequence[TrainMetrics], metrics: Mapping[str, float]) -> str:
    """On a training that reported a far better loss than the evaluator found."""
    last, trusted = last_val_loss(series), metrics.get("val_loss", math.nan)
    if last is None or not trusted - last > GAP_NATS:
        return ""
    return (
        f"The training's last reported val_loss={last:.4f} is {trusted - last:.4f} below what the evaluator found on "
        f"held-out data, val_loss={trusted:.4f}, which alone counts. The two data sets do not differ that much: the "
        "training reports another quantity, or the model answers otherwise than it did there."
    )
