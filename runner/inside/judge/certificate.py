"""The certificate of a loss: what the model predicts of text that no process which runs the agent's code has seen.

An exam is text written or drawn for one evaluation. The auditor is asked for its whole distribution after a prefix,
and is shown what followed only when its answer is in: shorter prefixes of a passage come first. Whatever its code
remembers, and whoever it talks to, the answer is not in the room. Against the true conditional distribution p of the
text, given all that the auditor was shown, the likelihood ratio of its answers q is a supermartingale: q is s nats
better in sum with a probability of at most e^-s (Ville 1939), so no strategy beats real prediction.

Those losses are compared with the ones that a reference of our own has on the very same tokens, which takes most of
the luck of the text out of the difference (a control variate with the coefficient one).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from runner.inside.judge.passages import widths
from runner.inside.judge.predictions import Prefixes, answers, questions, target_logprobs
from runner.inside.judge.worker_client import ModelClient

ALARM = 4.0
"""Standard errors by which a claim may be better than its certificate: one honest claim in 30,000 is further off."""
FLOOR = -30.0
"""The least natural log-probability that counts. One answer that is worth less could buy the others room."""
CUTS = 8
"""Predictions in each passage."""


@dataclass(frozen=True, kw_only=True)
class Scatter:
    """Standard deviations of a loss in nats, as honest models have them: tokens of one passage are no independent
    draws, so that the mean over N passages with n tokens in all has the variance token²/n + passage²/N."""

    token: float
    passage: float

    def variance(self, tokens: int, passages: int) -> float:
        """Of a mean over so many tokens in so many passages."""
        return self.token**2 / tokens + self.passage**2 / passages


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How losses of honest models scatter over text of one kind. Limits never come from the sample they judge."""

    beside: Scatter
    """The difference to the reference's loss on the same token."""
    alone: Scatter
    """The loss itself, for want of a reference."""


SPREADS = {
    "bytes": Spread(beside=Scatter(token=0.45, passage=0.05), alone=Scatter(token=1.2, passage=0.1)),
    "gpt2": Spread(beside=Scatter(token=0.9, passage=0.12), alone=Scatter(token=3.6, passage=0.6)),
}
"""By tokenizer; docs/trust.md says what was measured."""
STRAYING = 0.8
"""A model that is x nats from the reference may scatter by this times x more beside it."""


@dataclass(frozen=True, kw_only=True)
class Exam:
    """Passages, and where they are cut: the token after each cut is predicted from those up to it."""

    passages: NDArray[np.int32]
    """Tokens (N, T + 1)."""
    cuts: NDArray[np.int32]
    """Positions (N, C), ascending in each row, below T."""

    @property
    def targets(self) -> NDArray[np.int32]:
        """The tokens to be predicted, (N, C)."""
        return np.take_along_axis(self.passages, self.cuts + 1, axis=1)

    @property
    def prefixes(self) -> Prefixes:
        """What comes before each target, in the order of the (N, C) flattened; its round is the number of its cut."""
        count, cuts = self.cuts.shape
        tokens = [self.passages[i, : self.cuts[i, number] + 1] for i in range(count) for number in range(cuts)]
        return Prefixes(tokens, [number for _ in range(count) for number in range(cuts)])


@dataclass(frozen=True)
class Losses:
    """Mean losses of one model in nats per token."""

    level: float
    """On the text of the claim."""
    exam: NDArray[np.float64]
    """At each cut of the exam, (N, C)."""


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What a claimed mean loss (nats per token) is worth."""

    claimed: float
    certified: float
    """The mean loss that the exam gives on the text of the claim, by way of the reference where there is one."""
    error: float
    """Standard error of `certified`, from the sample of passages."""
    limit: float
    """The most by which the claim may be better than `certified`."""
    tokens: int
    """Predicted in the exam."""
    reference: float | None
    """The reference's loss on the text of the claim; None without a reference."""

    @property
    def advantage(self) -> float:
        """By how many nats the claim is better than what the exam gives."""
        return self.certified - self.claimed


def draw(tokens: NDArray[np.int32], block_size: int, wanted: int, rng: np.random.Generator) -> Exam:
    """An exam of about `wanted` predictions on passages of block_size + 1 tokens, CUTS in each.

    Passages are as far apart as the text allows, for a later one could give away what an earlier one is about. The cuts
    of a passage are at random places, one in each of as many equal parts. Raises ValueError for less than two passages.
    """
    blocks = tokens[: len(tokens) // (block_size + 1) * (block_size + 1)].reshape(-1, block_size + 1)
    edges = [0, *widths(block_size, CUTS)]
    count = min(len(blocks), max(2, wanted // (len(edges) - 1)))
    if count < 2:
        raise ValueError(f"{len(tokens)} tokens are less than two passages of {block_size + 1}")
    apart = len(blocks) // count
    passages = blocks[int(rng.integers(apart)) :: apart][:count]
    cuts = [rng.integers(low, high, size=count) for low, high in pairwise(edges)]
    return Exam(passages=passages, cuts=np.stack(cuts, axis=1).astype(np.int32))


def sit(exam: Exam, auditor: ModelClient, block_size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """The losses (N, C) of the auditor's predictions, in nats, normalised here. Raises AgentFault."""
    losses, targets, prefixes = np.empty(exam.cuts.size), exam.targets.ravel(), exam.prefixes
    for asked, shown in answers(prefixes, questions(prefixes, block_size, rng), auditor, auditor.vocab_size, rng):
        losses[asked] = -np.maximum(target_logprobs(shown, targets[asked]), FLOOR)
    return losses.reshape(exam.cuts.shape)


def losses_at_cuts(exam: Exam, logprobs: NDArray[np.float32]) -> NDArray[np.float64]:
    """The losses (N, C) at an exam's cuts from log-probabilities (N, T) of every token but each passage's first."""
    return -np.maximum(np.take_along_axis(logprobs, exam.cuts, axis=1).astype(np.float64), FLOOR)


def certify(
    claimed: float, *, tokens: int, passages: int, losses: NDArray[np.float64], spread: Spread, reference: Losses | None
) -> Certificate:
    """Hold a claimed mean loss, over so many `tokens` in so many `passages`, against an exam's losses (N, C).

    Of an honest model both are means over text of one kind, so that they differ by the luck of either text.
    """
    beside = losses if reference is None else losses - reference.exam
    level = 0.0 if reference is None else reference.level
    certified = level + float(beside.mean())
    error = float(beside.mean(axis=1).std(ddof=1)) / math.sqrt(len(beside))
    honest = spread.alone if reference is None else spread.beside
    luck = math.sqrt(honest.variance(losses.size, len(losses)) + honest.variance(tokens, passages))
    if reference is not None:
        # What a model gains in room by being worse than the reference it has lost many times before.
        luck *= 1 + STRAYING * abs(certified - level) / honest.token
    return Certificate(
        claimed=claimed,
        certified=certified,
        error=error,
        limit=ALARM * luck,
        tokens=losses.size,
        reference=None if reference is None else level,
    )
