"""How much of a metric is told: no finer than it is known, and no worse than guessing.

A model can be made so that its loss spells what the held-out text says, and whoever runs the test reads it in the
digits. So digits beyond what another training would change are left out, and losses beyond those of uniform guessing,
of which there is no end, are all told as one.
"""

from __future__ import annotations

import math

from runner.inside.judge.certificate import SPREADS
from runner.inside.judge.exam import extent
from runner.inside.judge.language import Measurement

BEYOND_GUESSING = 1.0
"""Nats per token by which a loss may be worse than that of a uniform distribution and still be told."""
SHARE_OF_ERROR = 1 / 3
"""A step between two metrics that are told apart, in standard errors of a metric beside that of another model."""


def told_metric(measured: Measurement, loss: float, step: float, vocab_size: int) -> float:
    """The metric of a mean loss (nats per scored token) as it is stored and told, where `step` is that of `loss_step`.

    What is infinite stays so.
    """
    if not math.isfinite(loss):
        return measured.value(loss)
    capped = min(max(loss, 0.0), worst_told(vocab_size))
    value = measured.value(capped)
    # By how much the metric grows with the loss: a perplexity by so much the more, the larger it is.
    slope = (measured.value(capped + 1e-6) - value) / 1e-6
    return to_step(value, step * slope) if slope > 0 else value  # beyond the largest float there are no steps


def worst_told(vocab_size: int) -> float:
    """The largest loss in nats per token that is told."""
    return math.log(vocab_size) + BEYOND_GUESSING


def loss_step(measured: Measurement, tokenizer: str) -> float:
    """Nats per scored token that are told apart."""
    spread = SPREADS[tokenizer][measured.metric].beside
    return SHARE_OF_ERROR * math.sqrt(spread.of_mean(extent(measured.passages)))


def to_step(value: float, step: float) -> float:
    """The nearest multiple of the largest of 1, 2, 5, 10, 20 and so on, or of 0.5, 0.2 and so on, up to `step`."""
    exponent = math.floor(math.log10(step))
    leading = max(digit for digit in (1, 2, 5) if digit <= step / 10.0**exponent or digit == 1)
    multiple = round(value / (leading * 10.0**exponent)) * leading
    return float(f"{multiple}e{exponent}")
