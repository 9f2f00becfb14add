"""Spot checks of a worker's claims: whole distributions at a few random places must carry them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runner.inside.client import ModelClient, Scores
from runner.inside.faults import ReplyRefused

POSITIONS = 4
"""Places looked at in one batch."""
TOLERANCE = {"float32": 1e-3, "float16": 0.05, "bfloat16": 0.25}
"""Nats two computations of one log-probability may differ by: the row is computed alone the second time."""


class SpotCheck:
    """Asks again, in full, for a few of the values a worker has claimed, and keeps count."""

    def __init__(self, client: ModelClient, dtype: str, rng: np.random.Generator) -> None:
        """`rng` should be unpredictable: the places must not be known to the agent's code beforehand."""
        self._client = client
        self._tolerance = TOLERANCE[dtype]
        self._rng = rng
        self.checked = 0
        self.largest_difference = 0.0
        """Nats."""

    def check(self, tokens: NDArray[np.int32], lengths: NDArray[np.int64], scores: Scores) -> None:
        """One random row of tokens (B, T), of which the first `lengths[row]` count. Raises ReplyRefused."""
        row = int(self._rng.integers(len(tokens)))
        places = self._rng.integers(lengths[row] - 1, size=POSITIONS).astype(np.int32)
        positions = np.stack([np.zeros_like(places), places], axis=1)
        logprobs = self._client.distribution(tokens[row : row + 1, :-1], positions).astype(np.float64)

        totals = np.exp(logprobs).sum(axis=1)
        worst = totals[np.abs(totals - 1).argmax()]
        if abs(worst - 1) > 1e-3:
            self._refuse(f"probabilities over the vocabulary sum to {worst:.4g} instead of 1")
        which = np.arange(POSITIONS)
        self._compare(scores.logprobs[row, places], logprobs[which, tokens[row, places + 1]], "log-probability")
        self._compare(logprobs[which, scores.greedy[row, places]], logprobs.max(axis=1), "likeliest token")
        self.checked += POSITIONS

    def _compare(self, claimed: NDArray[np.floating], found: NDArray[np.floating], what: str) -> None:
        # Both -inf agree: the floor stands for a probability of zero.
        floor = np.float64(-1e4)
        difference = float(np.abs(np.maximum(claimed, floor) - np.maximum(found, floor)).max())
        if difference > self._tolerance:
            self._refuse(f"the claimed {what} differs by {difference:.4g} nats from the full distribution")
        self.largest_difference = max(self.largest_difference, difference)

    def _refuse(self, reason: str) -> None:
        raise ReplyRefused("checking a random sample", reason)
