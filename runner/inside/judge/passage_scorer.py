"""Scoring with a memory: what was claimed is sampled on the way, for the audits that follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runner.inside.judge.passages import Passage, PassageScore, batches, stacked
from runner.inside.judge.worker_client import ModelClient
from runner.inside.judge.workers import Workers


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A claim of a scorer's about one token, and what the token came after."""

    metric: str
    passage: int
    """Its index among the metric's passages."""
    prefix: NDArray[np.int32]
    """The tokens (T,) before it in its passage."""
    target: int
    """The token that came."""
    logprob: float
    """Its natural log-probability, as claimed."""
    greedy: int
    """The token that is claimed to be the likeliest there."""

    @property
    def where(self) -> str:
        return f"{self.metric}, sequence {self.passage}, position {len(self.prefix) - 1}"


@dataclass(frozen=True)
class FirstAnswer:
    """A scorer's first batch: tokens (B, T) and claims (B, T-1), of which the first `lengths[row] - 1` count."""

    scorer: ModelClient
    tokens: NDArray[np.int32]
    lengths: NDArray[np.int64]
    logprobs: NDArray[np.float32]


class PassageScorer:
    """Scores passages with an evaluation's workers, and keeps samples of its claims.

    Random passages ride along unmarked: their tokens are uniform over the vocabulary, so that no model can know them.
    """

    def __init__(
        self, workers: Workers, vocab_size: int, rng: np.random.Generator, samples: int, canaries: int
    ) -> None:
        """At most `samples` samples of each metric, one per passage, and `canaries` random passages with each.

        `rng` should be unpredictable: the places must not be known to the agent's code beforehand.
        """
        self._workers = workers
        self._vocab_size = vocab_size
        self._rng = rng
        self._wanted = samples
        self._canaries = canaries
        self.samples: list[Sample] = []
        self.canary_logprobs: list[float] = []
        """The natural log-probability that was claimed for each random token."""
        self.first_answers: list[FirstAnswer] = []

    def score(self, metric: str, passages: Sequence[Passage]) -> list[PassageScore]:
        """One score per passage, in their order. Raises AgentFault."""
        everything = [*passages, *self._random_passages(passages)]
        places = self._sampled_places(passages)
        results: dict[int, PassageScore] = {}
        grouped = list(batches(everything, self._rng))
        stacks = [stacked([everything[i] for i in batch]) for batch in grouped]
        for batch, tokens, (scores, scorer) in zip(grouped, stacks, self._workers.score(stacks), strict=True):
            self._keep_first(scorer, tokens, [everything[i] for i in batch], scores.logprobs)
            for i, row, logprobs, greedy in zip(batch, tokens, scores.logprobs, scores.greedy, strict=True):
                asked = everything[i].places
                asked_slice = slice(asked.start, asked.stop)
                if i >= len(passages):
                    self.canary_logprobs.extend(logprobs[asked_slice].tolist())
                    continue
                results[i] = PassageScore(
                    logprob=float(logprobs[asked_slice].sum(dtype=np.float64)),
                    greedy=bool((greedy[asked_slice] == row[1:][asked_slice]).all()),
                )
                if (place := places.get(i)) is not None:
                    self.samples.append(
                        Sample(
                            metric=metric,
                            passage=i,
                            prefix=row[: place + 1].copy(),
                            target=int(row[place + 1]),
                            logprob=float(logprobs[place]),
                            greedy=int(greedy[place]),
                        )
                    )
        return [results[i] for i in range(len(passages))]

    def _sampled_places(self, passages: Sequence[Passage]) -> dict[int, int]:
        """Passage to position. One each: a second one further on would give the first one's token away."""
        chosen = self._rng.permutation(len(passages))[: self._wanted].tolist()
        return {i: int(self._rng.choice(passages[i].places)) for i in chosen}

    def _random_passages(self, passages: Sequence[Passage]) -> list[Passage]:
        """Shaped like randomly chosen ones of `passages`."""
        models = [passages[i] for i in self._rng.integers(len(passages), size=self._canaries)]
        return [
            Passage(self._rng.integers(self._vocab_size, size=len(like.tokens)), len(like.tokens) - 1)
            for like in models
        ]

    def _keep_first(
        self, scorer: ModelClient, tokens: NDArray[np.int32], passages: list[Passage], logprobs: NDArray[np.float32]
    ) -> None:
        if not any(first.scorer is scorer for first in self.first_answers):
            lengths = np.array([len(passage.tokens) for passage in passages])
            self.first_answers.append(FirstAnswer(scorer, tokens, lengths, logprobs))
