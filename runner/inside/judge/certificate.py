"""The certificate of a loss: what the model predicts of text that no process which runs the agent's code has seen.

An exam is text written or drawn for one evaluation. The auditor is asked for its whole distribution after a prefix,
and is shown what followed only when its answer is in: shorter prefixes of a passage come first. Whatever its code
remembers, and whoever it talks to, the answer is not in the room, and no distribution is expected to cost less than
the model's real knowledge is worth (the logarithmic score is proper: Good 1952). Those losses are compared with the
ones that a reference of our own has on the very same tokens, which takes most of the luck of the text out of the
difference (a control variate).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from runner.inside.judge.passages import BATCH_TOKENS
from runner.inside.judge.worker_client import ModelClient

ALARM = 3.72
"""Standard errors by which a claim may be better than its certificate: one honest claim in 10,000 is further off."""
FLOOR = -30.0
"""The least natural log-probability that counts. One answer that is worth less could buy the others room."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Standard deviations of one token's loss, in nats, as honest models have them: limits never come from a sample."""

    beside_reference: float
    """Of its difference to the reference's loss."""
    alone: float
    """Of the loss itself, for want of a reference."""


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


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What a claimed mean loss (nats per token) is worth."""

    claimed: float
    certified: float
    """The mean loss that the exam gives on the text of the claim, by way of the reference where there is one."""
    error: float
    """Standard error of `certified`, from the sample."""
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


def draw(passages: NDArray[np.int32], cuts: int, rng: np.random.Generator) -> Exam:
    """An exam on passages (N, T + 1) with `cuts` cuts in each, one at a random place in each of as many equal parts."""
    length = passages.shape[1] - 1
    edges = [0, *lengths(length, cuts)]
    places = np.stack([rng.integers(low, high, size=len(passages)) for low, high in pairwise(edges)], axis=1)
    return Exam(passages=passages, cuts=places.astype(np.int32))


def lengths(block_size: int, cuts: int) -> list[int]:
    """The lengths of the prefixes that an exam shows, padding included: one for each round."""
    return [int(edge) for edge in np.linspace(0, block_size, cuts + 1)[1:]]


def sit(exam: Exam, auditor: ModelClient, vocab_size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """The losses (N, C) of the auditor's predictions, in nats, normalised here. Raises AgentFault.

    A round for each cut, so that a prefix is shown after all shorter ones of its passage are answered. What follows a
    prefix in its row are random tokens.
    """
    count, rounds = exam.cuts.shape
    losses = np.empty((count, rounds))
    targets = exam.targets
    for number, width in enumerate(lengths(exam.passages.shape[1] - 1, rounds)):
        for rows in _batches(count, width, rng):
            tokens = rng.integers(vocab_size, size=(len(rows), width)).astype(np.int32)
            shown = np.arange(width) <= exam.cuts[rows, number, None]
            tokens[shown] = exam.passages[rows, :width][shown]
            places = np.stack([np.arange(len(rows)), exam.cuts[rows, number]], axis=1).astype(np.int32)
            losses[rows, number] = _losses(auditor.distribution(tokens, places), targets[rows, number])
    return losses


def reference_losses(exam: Exam, logprobs: NDArray[np.float32]) -> NDArray[np.float64]:
    """The losses (N, C) at an exam's cuts from log-probabilities (N, T) of every token but each passage's first."""
    return -np.maximum(np.take_along_axis(logprobs, exam.cuts, axis=1).astype(np.float64), FLOOR)


def certify(
    claimed: float,
    claimed_tokens: int,
    losses: NDArray[np.float64],
    spread: Spread,
    reference: tuple[float, NDArray[np.float64]] | None,
) -> Certificate:
    """Hold a claimed mean loss against an exam's losses (N, C).

    `claimed_tokens`: how many tokens the claim is a mean over. `reference`: the mean loss of a model of our own on the
    claim's text, and its losses (N, C) in the exam.
    """
    beside = losses if reference is None else losses - reference[1]
    level = 0.0 if reference is None else reference[0]
    certified = level + float(beside.mean())
    of_passages = beside.mean(axis=1)
    error = float(of_passages.std(ddof=1)) / math.sqrt(len(of_passages))
    # A model that is worse than the reference may be as much less steady: what it gains so, it has lost before.
    honest = spread.alone if reference is None else spread.beside_reference + max(0.0, certified - level)
    luck = honest * math.sqrt(1 / losses.size + 1 / claimed_tokens)
    return Certificate(
        claimed=claimed,
        certified=certified,
        error=error,
        limit=ALARM * luck,
        tokens=losses.size,
        reference=None if reference is None else level,
    )


def _losses(logprobs: NDArray[np.float32], targets: NDArray[np.int32]) -> NDArray[np.float64]:
    """Of distributions (N, V) for the tokens (N,) that came, whatever the distributions add up to."""
    highest = logprobs.max(axis=1, keepdims=True)
    total = highest[:, 0] + np.log(np.exp(logprobs - highest, dtype=np.float32).sum(axis=1, dtype=np.float64))
    chosen = logprobs[np.arange(len(targets)), targets].astype(np.float64)
    losses: NDArray[np.float64] = -np.maximum(chosen - total, FLOOR)
    return losses


def _batches(count: int, width: int, rng: np.random.Generator) -> Iterator[Sequence[int]]:
    order = rng.permutation(count).tolist()
    size = max(1, BATCH_TOKENS // width)
    for start in range(0, count, size):
        yield order[start : start + size]
