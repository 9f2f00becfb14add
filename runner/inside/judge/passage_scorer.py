"""Scoring with a memory: which claims are audited is drawn beforehand, and they are kept on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runner.inside.judge.passages import Passage, PassageScore, batches, stacked
from runner.inside.judge.predictions import (
    Prefixes,
    ShownPrefixes,
    answers,
    in_order,
    questions,
    target_logprobs,
)
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
        self.places = _sampled_places(asked.passages, asked.samples, rng)

    def prefixes(self) -> Prefixes:
        """Those of the sampled claims, in the places' order."""
        tokens, texts, steps = [], [], []
        for i, places in self.places.items():
            passage = self.passages[i]
            row = np.asarray(passage.tokens, dtype=np.int32)
            # What is scored alike after several contexts would be given away by any of them.
            text = passage.text if passage.text is not None else row[passage.places.start + 1 :].tobytes()
            for place in places:
                tokens.append(row[: place + 1])
                texts.append(text)
                steps.append(passage.start + place - passage.places.start)
        return Prefixes(tokens, in_order(texts, steps))


class _Predictions:
    """The scored tokens of passages, each to be predicted from what comes before it."""

    def __init__(self, passages: Sequence[Passage], block_size: int, rng: np.random.Generator) -> None:
        self._rows = [np.asarray(passage.tokens, dtype=np.int32) for passage in passages]
        self._places = [(i, place) for i, passage in enumerate(passages) for place in passage.places]
        tokens = [self._rows[i][: place + 1] for i, place in self._places]
        steps = [place - passages[i].places.start for i, place in self._places]
        self._prefixes = Prefixes(tokens, steps)
        self.questions = questions(self._prefixes, block_size, rng)

    def asked(self, worker: ModelClient, rng: np.random.Generator) -> list[PassageScore]:
        """One score per passage, of what the worker answers. Raises AgentFault."""
        logprob, greedy = np.zeros(len(self._rows)), np.ones(len(self._rows), dtype=bool)
        for asked, shown in answers(self._prefixes, self.questions, worker, worker.vocab_size, rng):
            places = [self._places[number] for number in asked]
            targets = np.array([self._rows[i][place + 1] for i, place in places])
            for (i, _), value, best in zip(
                places, target_logprobs(shown, targets), shown.argmax(axis=1) == targets, strict=True
            ):
                logprob[i] += value
                greedy[i] &= best
        return [PassageScore(float(value), bool(best)) for value, best in zip(logprob, greedy, strict=True)]


class PassageScorer:
    """Scores passages with an evaluation's workers, and keeps samples of its claims.

    Random passages ride along unmarked: their tokens are uniform over the vocabulary, so that no model can know them.
    """

    def __init__(
        self, workers: Workers, block_size: int, vocab_size: int, rng: np.random.Generator, canaries: int
    ) -> None:
        """`canaries` random passages are scored with each metric.

        `rng` should be unpredictable: the places must not be known to the agent's code beforehand.
        """
        self._workers = workers
        self._block_size = block_size
        self._vocab_size = vocab_size
        self._rng = rng
        self._canaries = canaries
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
        shown for these sets. What is to be predicted comes next, before anything of it is shown.
        """
        assert not self.samples, "one call for all sets"
        predictions = [
            _Predictions(one.passages, self._block_size, self._rng) if one.predicted else None for one in asked
        ]
        plans = [
            _Plan(one, self._block_size, self._vocab_size, self._rng, self._canaries)
            for one in asked
            if not one.predicted
        ]
        of_each = [plan.prefixes() for plan in plans]
        tokens = [tokens for prefixes in of_each for tokens in prefixes.tokens]
        rounds = [number for prefixes in of_each for number in prefixes.rounds]
        self.repeated = range(0, len(tokens), REPEATED)
        again = slice(0, len(tokens), REPEATED)
        self.prefixes = Prefixes([*tokens, *tokens[again]], [*rounds, *rounds[again]])
        self._workers.rehearse(
            [stack.shape for plan in plans for stack in plan.stacks],
            [question.shape for question in self.audited()],
            [question.shape for one in predictions if one is not None for question in one.questions],
            self._rng,
        )
        predicted = [None if one is None else self._workers.predict(one.asked, self._rng) for one in predictions]
        left = iter(plans)
        return [self._scored(next(left)) if scores is None else scores for scores in predicted]

    def audited(self) -> list[ShownPrefixes]:
        """The requests for an auditor about all prefixes, in their order."""
        return questions(self.prefixes, self._block_size, self._rng)

    def _scored(self, plan: _Plan) -> list[PassageScore]:
        results: dict[int, PassageScore] = {}
        samples: dict[int, list[Sample]] = {}
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
                samples[i] = [
                    Sample(
                        metric=plan.metric,
                        passage=i,
                        prefix=row[: place + 1].copy(),
                        target=int(row[place + 1]),
                        logprob=float(logprobs[place]),
                        greedy=int(greedy[place]),
                    )
                    for place in plan.places.get(i, ())
                ]
        for i in plan.places:
            self.samples.extend(samples[i])
        return [results[i] for i in range(plan.count)]

    def _keep_first(
        self, scorer: ModelClient, tokens: NDArray[np.int32], passages: list[Passage], logprobs: NDArray[np.float32]
    ) -> None:
        if not any(first.scorer is scorer for first in self.first_answers):
            lengths = np.array([len(passage.tokens) for passage in passages])
            self.first_answers.append(FirstAnswer(scorer, tokens, lengths, logprobs))


def _sampled_places(passages: Sequence[Passage], wanted: int, rng: np.random.Generator) -> dict[int, list[int]]:
    """Passage to positions, ascending: of all scored tokens together as many as are wanted, each as likely."""
    ends = np.cumsum([passage.scored for passage in passages])
    total = int(ends[-1]) if len(ends) else 0
    chosen = np.sort(rng.choice(total, min(wanted, total), replace=False))
    places: dict[int, list[int]] = {}
    for number, i in zip(chosen.tolist(), np.searchsorted(ends, chosen, side="right").tolist(), strict=True):
        scored = passages[i].places
        places.setdefault(i, []).append(scored[number - int(ends[i]) + len(scored)])
    return places


def _random_passages(
    passages: Sequence[Passage], vocab_size: int, rng: np.random.Generator, count: int
) -> list[Passage]:
    """Shaped like randomly chosen ones of `passages`."""
    models = [passages[i] for i in rng.integers(len(passages), size=count)]
    return [Passage(rng.integers(vocab_size, size=len(like.tokens)), len(like.tokens) - 1) for like in models]
