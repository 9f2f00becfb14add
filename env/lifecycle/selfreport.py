"""What a training said of itself and what it took, held against what is known: notes for the reader, no verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from env.lifecycle.progress import MAX_POINTS
from runner.metrics import TrainMetrics
from tasks.model import Stage

GAP_NATS = 0.5
"""Dev and held-out splits are different texts of one kind. With three seeds at smoke scale the evaluator's loss was
0.06 to 0.15 nats above the last reported one; in the recorded runs at full scale they were within 0.03, but for one
that had a spike. This is three times the most that was seen."""
START_NATS = 1.0
"""An untrained model whose input and output embeddings are tied guesses that tokens are repeated. It started up to 0.18
nats below the uniform guess at smoke scale, 0.1 at full scale."""


def first_val_loss(series: Sequence[TrainMetrics]) -> float | None:
    """The loss that was reported before the first update; None if there was no such report."""
    return series[0].val_loss if series and series[0].step == 0 and series[0].finite else None


def last_val_loss(series: Sequence[TrainMetrics]) -> float | None:
    """The loss of the last report; None if there was none, or no number in it."""
    return series[-1].val_loss if series and series[-1].finite else None


def last_step(series: Sequence[TrainMetrics]) -> int | None:
    """The step of the last report; None if there was none, or if there were more than are kept."""
    return series[-1].step if 0 < len(series) < MAX_POINTS else None


def expected_steps(settings: Mapping[str, str]) -> int | None:
    """Optimizer steps that every training of the scale takes. None where the scale does not say."""
    steps = settings.get("MAX_ITERS", "")
    return int(steps) if steps.isdecimal() else None


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


def steps_note(series: Sequence[TrainMetrics], settings: Mapping[str, str]) -> str:
    """On a training that succeeded and ended at another step than the scale's trainings do."""
    last, expected = last_step(series), expected_steps(settings)
    if last is None or expected is None or last == expected:
        return ""
    return (
        f"The training's last report is of step {last}, where every training of this scale ends at step {expected}. "
        "It took other steps than the results it is compared with, or reports steps that it did not take."
    )


def slow_note(elapsed_s: float, stage: Stage) -> str:
    """On a training that succeeded and used up more than half of the room that its stage leaves for slower methods.

    Half the room and not a fixed factor, because `max_slowdown` also says what a time is worth: at full scale, 2 times
    on GPUs of one's own, it is half as long again; at smoke scale, 15 times on shared cores, no noise gets there.
    """
    baseline_s, limit = stage.baseline_s, stage.max_slowdown
    if baseline_s is None or limit is None or elapsed_s <= baseline_s * (1 + limit) / 2:
        return ""
    return (
        f"The training took {elapsed_s:.0f} s, {elapsed_s / baseline_s:.1f} times the {baseline_s:.0f} s of the "
        "unedited script. Its loss may be bought with time: with more work for a step, or more steps than it reports."
    )
