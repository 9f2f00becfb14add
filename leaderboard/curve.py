"""A loss curve with fewer points: what a chart shows of it stays the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Curve:
    """Losses by step, in nats per token; None where one was not finite. The three tuples are of one length."""

    step: tuple[int, ...]
    train_loss: tuple[float | None, ...]
    val_loss: tuple[float | None, ...]

    def thinned(self, points: int) -> Curve:
        """The curve with at most about `points` (8 or more) points: first, last, and both losses' extremes between.

        Spikes survive, which an average or every n-th point would lose.
        """
        if len(self.step) <= points:
            return self
        inner = range(1, len(self.step) - 1)
        buckets = max(1, (points - 2) // 4)
        kept = {0, len(self.step) - 1}
        for number in range(buckets):
            of_bucket = inner[len(inner) * number // buckets : len(inner) * (number + 1) // buckets]
            for losses in (self.train_loss, self.val_loss):
                kept.update(_extremes(losses, of_bucket))
        return self._only(sorted(kept))

    def every(self, points: int) -> Curve:
        """The curve with at most `points` (2 or more) points, evenly spaced, first and last among them: for a table."""
        if len(self.step) <= points:
            return self
        return self._only([i * (len(self.step) - 1) // (points - 1) for i in range(points)])

    def _only(self, chosen: Sequence[int]) -> Curve:
        return Curve(
            tuple(self.step[i] for i in chosen),
            tuple(self.train_loss[i] for i in chosen),
            tuple(self.val_loss[i] for i in chosen),
        )


def _extremes(losses: Sequence[float | None], where: range) -> tuple[int, ...]:
    known = [(loss, i) for i in where if (loss := losses[i]) is not None]
    return (min(known)[1], max(known)[1]) if known else tuple(where[:1])
