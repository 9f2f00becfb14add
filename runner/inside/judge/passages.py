"""Passages of tokens: what is scored in them, and how they are put into batches of few different shapes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FEWEST_TOKENS, MOST_TOKENS, FULL_PASSAGES = 4096, 16384, 16
"""The most tokens in a request are between these, as many as so many full passages where that lies between."""
WIDTHS = 8
"""At most so many lengths are asked about: multiples of this fraction of the context."""
EVEN = 16
"""Lengths are multiples of this, for vector units take so many numbers at a time. Where they divide a sum without a
rest, a model's answer about a prefix is the same to the last bit at any of the lengths, also in bfloat16."""


@dataclass(frozen=True)
class Passage:
    """Tokens of which the last `scored` are asked for; those before are their context (at least one)."""

    tokens: Sequence[int] | NDArray[np.integer]
    scored: int
    text: int | None = None
    """The number of the text that it is cut from, where others are cut from the same."""
    start: int = 0
    """How many tokens of that text come before the first scored one."""

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


def widths(block_size: int, count: int = WIDTHS) -> list[int]:
    """`count` lengths up to the context's, ascending and evenly apart; fewer where the context is shorter."""
    return sorted({max(1, block_size * number // count) for number in range(1, count + 1)})


def width_of(length: int, block_size: int) -> int:
    """The least length asked about that holds so many tokens. `length` is at most `block_size`."""
    width = next(width for width in widths(block_size) if width >= length)
    return min(block_size, math.ceil(width / EVEN) * EVEN)


def batch_tokens(block_size: int) -> int:
    """The most tokens in a request, padding included: few for a small model, which a CPU's caches hold."""
    return min(MOST_TOKENS, max(FEWEST_TOKENS, FULL_PASSAGES * block_size))


def stacked(passages: Sequence[Passage], block_size: int) -> NDArray[np.int32]:
    """The tokens of B passages as (B, T + 1), T one of the lengths asked about.

    They are padded on the right with zeros, which a causal model's scored tokens cannot see.
    """
    longest = max(len(passage.tokens) for passage in passages)
    tokens = np.zeros((len(passages), width_of(longest - 1, block_size) + 1), dtype=np.int32)
    for row, passage in zip(tokens, passages, strict=True):
        row[: len(passage.tokens)] = passage.tokens
    return tokens


def batches(passages: Sequence[Passage], block_size: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """Yield indices of passages grouped by width, longest first, so that too little memory shows at once.

    Which of one width come together is random: a model cannot foresee a passage's neighbours.
    """
    by_width: dict[int, list[int]] = {}
    for i in rng.permutation(len(passages)).tolist():
        by_width.setdefault(width_of(len(passages[i].tokens) - 1, block_size), []).append(i)
    for width in sorted(by_width, reverse=True):
        size = max(1, batch_tokens(block_size) // width)
        for first in range(0, len(by_width[width]), size):
            yield by_width[width][first : first + size]
