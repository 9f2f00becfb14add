"""Exams: what a metric's claim is held against, predicted before any process with the agent's code has seen its text.

The text of an exam is new where the data set has an author who writes it, or a reserve that it is drawn from. Else it
is the text of the claim itself, of which tokens are drawn with fresh entropy: that holds for whoever has seen none of
it before the evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runner.inside.faults import AgentFault, SetupFault
from runner.inside.judge.certificate import SPREADS, Certificate, Extent, Losses, certify
from runner.inside.judge.passages import Passage, batches, stacked
from runner.inside.judge.places import Places, spread_places
from runner.inside.judge.worker_client import ModelClient

CUTS = 8
"""Predictions in each text."""
LEAST = -30.0
"""The least natural log-probability that counts. One answer that is worth less could buy the others room."""


@dataclass(frozen=True, kw_only=True)
class Exam:
    """What is to be predicted for one metric."""

    metric: str
    claimed: Sequence[Passage]
    """The text of the claim."""
    places: Places
    """In `claimed` itself, or in text that nobody has seen."""
    tokenizer: str

    @property
    def unseen(self) -> bool:
        """Whether it is another text than the claim's."""
        return self.places.passages is not self.claimed

    def certificate(self, claimed: float, logprobs: NDArray[np.float64], reference: Losses | None) -> Certificate:
        """What a claimed mean loss is worth, by the log-probabilities (N,) that were predicted."""
        return certify(
            claimed,
            claim=extent(self.claimed),
            losses=-np.maximum(logprobs, LEAST),
            texts=self.places.texts if self.unseen else None,
            spread=SPREADS[self.tokenizer][self.metric],
            reference=reference,
        )

    def reference_losses(self, known: float | None, worker: ModelClient, block_size: int) -> Losses:
        """Those of the reference, which a worker has loaded; `known` is its mean loss on the claim's text, if it is.

        Raises SetupFault: its faults are ours.
        """
        try:
            asked = _token_losses(self.places.passages, worker, block_size)
            if known is None:
                of_claim = _token_losses(self.claimed, worker, block_size) if self.unseen else asked
                known = float(np.concatenate(of_claim).mean())
        except AgentFault as fault:
            raise SetupFault("reference", str(fault)) from None
        starts = [passage.places.start for passage in self.places.passages]
        return Losses(known, np.array([asked[i][position - starts[i]] for i, position in self.places.chosen]))


def extent(passages: Sequence[Passage]) -> Extent:
    """How much the mean loss of all that is scored in these passages is a mean of."""
    texts = {i if passage.text is None else passage.text for i, passage in enumerate(passages)}
    return Extent(sum(passage.scored for passage in passages), len(texts))


def draw(tokens: NDArray[np.int32], block_size: int, wanted: int, rng: np.random.Generator) -> Places:
    """About `wanted` tokens of passages of block_size + 1 tokens, CUTS in each.

    Passages are as far apart as the text allows, for a later one could give away what an earlier one is about. Raises
    ValueError for less than two passages.
    """
    blocks = tokens[: len(tokens) // (block_size + 1) * (block_size + 1)].reshape(-1, block_size + 1)
    count = min(len(blocks), max(2, wanted // min(CUTS, block_size)))
    if count < 2:
        raise ValueError(f"{len(tokens)} tokens are less than two passages of {block_size + 1}")
    apart = len(blocks) // count
    rows = blocks[int(rng.integers(apart)) :: apart][:count]
    return spread_places([Passage(row, block_size) for row in rows], count * min(CUTS, block_size), rng)


def _token_losses(passages: Sequence[Passage], worker: ModelClient, block_size: int) -> list[NDArray[np.float64]]:
    """For each passage the losses of its scored tokens. Raises AgentFault."""
    losses: list[NDArray[np.float64]] = [np.empty(0)] * len(passages)
    for batch in batches(passages, block_size, np.random.default_rng()):
        tokens = stacked([passages[i] for i in batch], block_size)
        for i, row in zip(batch, worker.score(tokens).logprobs, strict=True):
            places = passages[i].places
            losses[i] = -np.maximum(row[places.start : places.stop].astype(np.float64), LEAST)
    return losses
