"""Scoring with a memory: which claims are audited is drawn beforehand, and they are kept on the way."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runner.inside.judge.passages import Passage, PassageScore, batches, stacked
from runner.inside.judge.places import Place, Places, Prefixes, every_place, sampled_places
from runner.inside.judge.predictions import Predicted, Prediction, ShownPrefixes, questions
from runner.inside.judge.worker_client import ModelClient
from runner.inside.judge.workers import Workers

REPEATED = 4
"""One sample in so many is shown twice, with other endings."""


@dataclass(frozen=True)
class PassageSet:
    """Everything that one metric asks for."""

    metric: str
    passages: Sequence[Passage]
    samples: int
    """At most so many claims about it are audited."""
    predicted: bool = False
    """Nothing is claimed about it: every scored token is predicted before any process is shown it, and what the scorers
    answer is the measurement. It needs no audit; it takes a whole distribution for each token."""


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


class _Plan:
    """What is sent for one metric, and which of its claims are audited."""

    def __init__(
        self, asked: PassageSet, block_size: int, vocab_size: int, rng: np.random.Generator, canaries: int
    ) -> None:
        self.metric = asked.metric
        self.count = len(asked.passages)
        self.passages = [*asked.passages, *_random_passages(asked.passages, vocab_size, rng, canaries)]
        self.batches = list(batches(self.passages, block_size, rng))
        self.stacks = [stacked([self.passages[i] for i in batch], block_size) for batch in self.batches]
        self.places = sampled_places(asked.passages, asked.samples, rng)


class PassageScorer:
    """Scores passages with an evaluation's workers, and keeps samples of its claims.

    Random passages ride along unmarked: their tokens are uniform over the vocabulary, so that no model can know them.
    """

    def __init__(
        self,
        workers: Workers,
        block_size: int,
        vocab_size: int,
        rng: np.random.Generator,
        canaries: int,
        exams: Sequence[Places] = (),
    ) -> None:
        """`canaries` random passages are scored with each metric; `exams` are predicted before anything is scored.

        `rng` should be unpredictable: the places must not be known to the agent's code beforehand.
        """
        self._workers = workers
        self._block_size = block_size
        self._vocab_size = vocab_size
        self._rng = rng
        self._canaries = canaries
        self._exams = [Prediction(places, block_size, rng) for places in exams]
        self.sat: list[Predicted] = []
        """What was expected in each exam."""
        self.predicting_s = 0.0
        """Seconds that all predictions took."""
        self.mean_losses: dict[str, float] = {}
        """Each metric's mean loss in nats per scored token, as claimed or predicted."""
        self.samples: list[Sample] = []
        self.prefixes = Prefixes([], [])
        """What the samples' tokens came after, in the samples' order, and then those of `repeated` once more."""
        self.repeated = range(0)
        """The samples that are to be shown twice."""
        self.canary_logprobs: list[float] = []
        """The natural log-probability that was claimed for each random token."""
        self.first_answers: list[FirstAnswer] = []

    def score(self, *asked: PassageSet) -> list[list[PassageScore]]:
        """For each set one score per passage, in their order. To be called once. Raises AgentFault.

        Before anything real, the scorers are asked about random tokens in every shape that they or the auditor will be
        shown. Exams and what else is to be predicted come next, before anything of the sets is shown.
        """
        assert not self.samples, "one call for all sets"
        predicted = {
            one.metric: Prediction(every_place(one.passages), self._block_size, self._rng)
            for one in asked
            if one.predicted
        }
        plans = [
            _Plan(one, self._block_size, self._vocab_size, self._rng, self._canaries)
            for one in asked
            if not one.predicted
        ]
        of_each = [plan.places.prefixes for plan in plans]
        tokens = [tokens for prefixes in of_each for tokens in prefixes.tokens]
        rounds = [number for prefixes in of_each for number in prefixes.rounds]
        self.repeated = range(0, len(tokens), REPEATED)
        again = slice(0, len(tokens), REPEATED)
        self.prefixes = Prefixes([*tokens, *tokens[again]], [*rounds, *rounds[again]])
        predictions = [*self._exams, *predicted.values()]
        self._workers.rehearse(
            [stack.shape for plan in plans for stack in plan.stacks],
            [question.shape for question in self.audited()],
            [shape for prediction in predictions for shape in prediction.shapes],
            self._rng,
        )
        began = time.monotonic()
        found = [self._workers.predict(prediction, self._rng) for prediction in predictions]
        self.predicting_s = time.monotonic() - began
        self.sat = found[: len(self._exams)]
        scores = {
            metric: _summed(prediction.places, answer)
            for (metric, prediction), answer in zip(predicted.items(), found[len(self._exams) :], strict=True)
        }
        scores |= {plan.metric: self._scored(plan) for plan in plans}
        for one in asked:
            count = sum(passage.scored for passage in one.passages)
            self.mean_losses[one.metric] = -sum(score.logprob for score in scores[one.metric]) / count
        return [scores[one.metric] for one in asked]

    def audited(self) -> list[ShownPrefixes]:
        """The requests for an auditor about all prefixes, in their order."""
        return questions(self.prefixes, self._block_size, self._rng)

    def _scored(self, plan: _Plan) -> list[PassageScore]:
        results: dict[int, PassageScore] = {}
        samples: dict[Place, Sample] = {}
        sampled: dict[int, list[int]] = {}
        for i, place in plan.places.chosen:
            sampled.setdefault(i, []).append(place)
        for batch, tokens, (scores, scorer) in zip(
            plan.batches, plan.stacks, self._workers.score(plan.stacks), strict=True
        ):
            self._keep_first(scorer, tokens, [plan.passages[i] for i in batch], scores.logprobs)
            for i, row, logprobs, greedy in zip(batch, tokens, scores.logprobs, scores.greedy, strict=True):
                asked = plan.passages[i].places
                asked_slice = slice(asked.start, asked.stop)
                if i >= plan.count:
                    self.canary_logprobs.extend(logprobs[asked_slice].tolist())
                    continue
                results[i] = PassageScore(
                    logprob=float(logprobs[asked_slice].sum(dtype=np.float64)),
                    greedy=bool((greedy[asked_slice] == row[1:][asked_slice]).all()),
                )
                samples |= {
                    (i, place): Sample(
                        metric=plan.metric,
                        passage=i,
                        prefix=row[: place + 1].copy(),
                        target=int(row[place + 1]),
                        logprob=float(logprobs[place]),
                        greedy=int(greedy[place]),
                    )
                    for place in sampled.get(i, ())
                }
        self.samples.extend(samples[place] for place in plan.places.chosen)
        return [results[i] for i in range(plan.count)]

    def _keep_first(
        self, scorer: ModelClient, tokens: NDArray[np.int32], passages: list[Passage], logprobs: NDArray[np.float32]
    ) -> None:
        if not any(first.scorer is scorer for first in self.first_answers):
            lengths = np.array([len(passage.tokens) for passage in passages])
            self.first_answers.append(FirstAnswer(scorer, tokens, lengths, logprobs))


def _summed(places: Places, predicted: Predicted) -> list[PassageScore]:
    """One score per passage of which every scored token was predicted."""
    logprob, greedy = np.zeros(len(places.passages)), np.ones(len(places.passages), dtype=bool)
    numbers = np.array([i for i, _ in places.chosen])
    np.add.at(logprob, numbers, predicted.logprobs)
    np.logical_and.at(greedy, numbers, predicted.likeliest)
    return [PassageScore(float(value), bool(best)) for value, best in zip(logprob, greedy, strict=True)]


def _random_passages(
    passages: Sequence[Passage], vocab_size: int, rng: np.random.Generator, count: int
) -> list[Passage]:
    """Shaped like randomly chosen ones of `passages`."""
    models = [passages[i] for i in rng.integers(len(passages), size=count)]
    return [Passage(rng.integers(vocab_size, size=len(like.tokens)), len(like.tokens) - 1) for like in models]
