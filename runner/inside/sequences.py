"""Many sequences of different lengths, scored in batches of similar length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runner.inside.client import ModelClient
from runner.inside.sanity import SpotCheck

BATCH_TOKENS = 16384
"""Tokens in a request, padding included."""


@dataclass(frozen=True)
class Passage:
    """Tokens of which the last `scored` are asked for; those before are their context (at least one)."""

    tokens: Sequence[int] | NDArray[np.integer]
    scored: int


@dataclass(frozen=True)
class PassageScore:
    """Of a passage's scored tokens together."""

    logprob: float
    """Natural log-probability, the sum over the tokens."""
    greedy: bool
    """Whether each of them was the likeliest one."""


class PassageScorer:
    """Scores passages with a worker, and spot-checks one row of every batch."""

    def __init__(self, client: ModelClient, spot_check: SpotCheck) -> None:
        self._client = client
        self._spot_check = spot_check

    def score(self, passages: Sequence[Passage]) -> list[PassageScore]:
        """One score per passage, in their order. Raises AgentFault."""
        results: dict[int, PassageScore] = {}
        for batch in _batches(passages):
            for index, score in zip(batch, self._score_batch([passages[i] for i in batch]), strict=True):
                results[index] = score
        return [results[i] for i in range(len(passages))]

    def _score_batch(self, passages: list[Passage]) -> Iterator[PassageScore]:
        lengths = np.array([len(passage.tokens) for passage in passages])
        tokens = np.zeros((len(passages), lengths.max()), dtype=np.int32)  # padded on the right: no token sees it
        for row, passage in zip(tokens, passages, strict=True):
            row[: len(passage.tokens)] = passage.tokens
        scores = self._client.score(tokens)
        self._spot_check.check(tokens, lengths, scores)
        for row, passage in enumerate(passages):
            end = len(passage.tokens) - 1
            asked = slice(end - passage.scored, end)
            yield PassageScore(
                logprob=float(scores.logprobs[row, asked].sum(dtype=np.float64)),
                greedy=bool((scores.greedy[row, asked] == tokens[row, 1:][asked]).all()),
            )


def _batches(passages: Sequence[Passage]) -> Iterator[list[int]]:
    """Indices grouped by similar length, longest first, so that too little memory shows at once."""
    order = sorted(range(len(passages)), key=lambda i: -len(passages[i].tokens))
    while order:
        size = max(1, BATCH_TOKENS // len(passages[order[0]].tokens))
        yield order[:size]
        order = order[size:]
