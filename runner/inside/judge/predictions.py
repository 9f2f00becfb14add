"""Asking a worker what it expects: prefixes to whole distributions, in an order that gives no answer away.

A prefix stands in a row of its own, followed by random tokens and among other rows. It belongs to a round: what is
shown in a round may hold the answers to earlier rounds, never to its own or to later ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runner.inside.judge.passages import batch_tokens, width_of
from runner.inside.judge.places import Places, Prefixes
from runner.inside.judge.worker_client import ModelClient

REQUEST_TOKENS = 512
"""A request costs about as much as so many tokens in it."""
Shape = tuple[int, int]
"""Rows and tokens of a request."""


@dataclass(frozen=True)
class ShownPrefixes:
    """One request: which prefixes, and the shape of what is sent."""

    asked: list[int]
    shape: Shape


def questions(prefixes: Prefixes, block_size: int, rng: np.random.Generator) -> list[ShownPrefixes]:
    """All requests for these prefixes, round by round; within a round at random.

    There are few shapes: a prefix is given one of a few widths, and a number of rows that is a power of two.
    """
    found = []
    rounds = np.asarray(prefixes.rounds)
    for number in np.unique(rounds):
        by_width: dict[int, list[int]] = {}
        for i in rng.permutation(np.flatnonzero(rounds == number)).tolist():
            # Room for a token after the prefix, which a model must not look at.
            length = min(len(prefixes.tokens[i]) + 1, block_size)
            by_width.setdefault(width_of(length, block_size), []).append(i)
        for width, members in _merged(by_width).items():
            most = max(1, batch_tokens(block_size) // width)
            for first in range(0, len(members), most):
                asked = members[first : first + most]
                found.append(ShownPrefixes(asked, (min(most, 1 << (len(asked) - 1).bit_length()), width)))
    return found


def _merged(by_width: dict[int, list[int]]) -> dict[int, list[int]]:
    """Fewer groups: one joins those of the next width where a request of its own would cost more than the padding."""
    merged: dict[int, list[int]] = {}
    waiting: list[int] = []
    ascending = sorted(by_width)
    for width, wider in zip(ascending, [*ascending[1:], None], strict=True):
        members = waiting + by_width[width]
        waiting = members if wider is not None and len(members) * (wider - width) < REQUEST_TOKENS else []
        if not waiting:
            merged[width] = members
    return merged


def answers(
    prefixes: Prefixes, asking: Sequence[ShownPrefixes], worker: ModelClient, vocab_size: int, rng: np.random.Generator
) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
    """For each request the prefixes' numbers (N,) and the worker's log-probabilities (N, V). Raises AgentFault."""
    for question in asking:
        tokens = rng.integers(vocab_size, size=question.shape).astype(np.int32)
        for row, i in enumerate(question.asked):
            tokens[row, : len(prefixes.tokens[i])] = prefixes.tokens[i]
        places = [(row, len(prefixes.tokens[i]) - 1) for row, i in enumerate(question.asked)]
        yield question.asked, worker.distribution(tokens, np.array(places, dtype=np.int32))


def target_logprobs(logprobs: NDArray[np.float32], targets: NDArray[np.integer]) -> NDArray[np.float64]:
    """Of distributions (N, V) for the tokens (N,) that came, in nats, whatever the distributions add up to."""
    highest = np.maximum(logprobs.max(axis=1, keepdims=True), np.finfo(np.float32).min)
    total = highest[:, 0] + np.log(np.exp(logprobs - highest, dtype=np.float32).sum(axis=1, dtype=np.float64) + 1e-300)
    found: NDArray[np.float64] = logprobs[np.arange(len(targets)), targets].astype(np.float64) - total
    return found


@dataclass(frozen=True)
class Predicted:
    """What a worker expected at places."""

    logprobs: NDArray[np.float64]
    """Natural log-probabilities (N,) of the tokens that came, normalised here."""
    likeliest: NDArray[np.bool_]
    """Whether each was the likeliest one, (N,)."""


class Prediction:
    """Places that a worker is to be asked about before it is shown what comes after them."""

    def __init__(self, places: Places, block_size: int, rng: np.random.Generator) -> None:
        self.places = places
        self._prefixes = places.prefixes
        self._questions = questions(self._prefixes, block_size, rng)

    @property
    def shapes(self) -> list[Shape]:
        """Of the requests."""
        return [question.shape for question in self._questions]

    def ask(self, worker: ModelClient, rng: np.random.Generator) -> Predicted:
        """Raises AgentFault."""
        targets = self.places.targets
        logprobs, likeliest = np.empty(len(targets)), np.empty(len(targets), dtype=bool)
        for asked, shown in answers(self._prefixes, self._questions, worker, worker.vocab_size, rng):
            logprobs[asked] = target_logprobs(shown, targets[asked])
            likeliest[asked] = shown.argmax(axis=1) == targets[asked]
        return Predicted(logprobs, likeliest)
