"""Passages of tokens: what is scored in them, and how they are put into batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BATCH_TOKENS = 16384
"""The most tokens in a request, padding included."""


@dataclass(frozen=True)
class Passage:
    """Tokens of which the last `scored` are asked for; those before are their context (at least one)."""

    tokens: Sequence[int] | NDArray[np.integer]
    scored: int

    @property
    def places(self) -> range:
        """The positions after which a scored token comes."""
        end = len(self.tokens) - 1
        return range(end - self.scored, end)


@dataclass(frozen=True)
class PassageScore:
    """The score of a passage's scored tokens together."""

    logprob: float
    """Natural log-probability, the sum over the tokens."""
    greedy: bool
    """Whether each of them was the likeliest one."""


def stacked(passages: Sequence[Passage]) -> NDArray[np.int32]:
    """The tokens of B passages as (B, T), padded on the right with zeros, which a causal model's scored tokens cannot
    see."""
    tokens = np.zeros((len(passages), max(len(passage.tokens) for passage in passages)), dtype=np.int32)
    for row, passage in zip(tokens, passages, strict=True):
        row[: len(passage.tokens)] = passage.tokens
    return tokens


def batches(passages: Sequence[Passage], rng: np.random.Generator) -> Iterator[list[int]]:
    """Yield indices of passages grouped by similar length, longest first, so that too little memory shows at once.

    Which of equal length come together is random: a model cannot foresee a passage's neighbours.
    """
    shuffled = rng.permutation(len(passages)).tolist()
    order = sorted(shuffled, key=lambda i: -len(passages[i].tokens))
    while order:
        size = max(1, BATCH_TOKENS // len(passages[order[0]].tokens))
        yield order[:size]
        order = order[size:]
