"""Audits: is what the workers said what an honest, causal, stateless model of these weights would have said?

Scorers have seen every token they made claims about. The auditor has not: it is shown a sample's prefix, followed by
random tokens and among other rows, and has to commit to a whole distribution. A claim that used later tokens, other
rows, earlier batches or the token itself is one that the auditor cannot repeat.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runner.inside.judge.passage_scorer import FirstAnswer, PassageScorer, Sample
from runner.inside.judge.passages import BATCH_TOKENS
from runner.inside.judge.worker_client import ModelClient
from runner.inside.judge.workers import Workers
from runner.inside.settings import ModelSettings


@dataclass(frozen=True)
class Tolerance:
    """Nats by which two honest computations of one log-probability may differ: rows share a batch with others."""

    worst: float
    """Any single one."""
    mean: float
    """On average over very many, in the claim's favour."""


TOLERANCES = {
    "float32": Tolerance(worst=1e-3, mean=1e-4),
    "float16": Tolerance(worst=0.02, mean=5e-4),
    "bfloat16": Tolerance(worst=0.1, mean=5e-4),
}
"""By the type the model computes in. docs/trust.md says what was measured."""
NORMALISED = 1e-3
"""How far a distribution may sum from one."""
FLOOR = -1e4
"""Stands for the logarithm of zero: two of them agree."""
REPEATED = 4
"""Every so many samples are shown twice, with other endings."""


@dataclass(frozen=True)
class Audit:
    """One question and how it came out."""

    name: str
    figure: float
    limit: float
    unit: str
    samples: int
    where: str = ""
    """Of the figure, where it has a place."""

    @property
    def passed(self) -> bool:
        return self.figure <= self.limit

    @property
    def complaint(self) -> str:
        """Which audit failed, where and by how much, in one line."""
        place = f" ({self.where})" if self.where else ""
        return f"{self.name}: {_DEMANDS[self.name].format(figure=self.figure, limit=self.limit)}{place}"


_DEMANDS = {
    "parameters": "{figure:,.0f} parameters in the checkpoint, at most {limit:,.0f} are allowed",
    "normalisation": "probabilities over the vocabulary miss a sum of 1 by {figure:.3g}, allowed is {limit:g}",
    "causality": "what the model expects at a position moves by {figure:.3g} nats when only later tokens and other "
    "rows of the batch change, allowed is {limit:g}; it must depend on the tokens up to that position and nothing else",
    "commitment": "a log-probability that was scored differs by {figure:.3g} nats from what a second process of the "
    "same model expects before it has seen the token, allowed is {limit:g}; it must depend on the tokens up to that "
    "position and nothing else: no later token, no other row, no earlier call",
    "bias": "log-probabilities that were scored are {figure:.3g} nats better on average than what a second process of "
    "the same model expects before it has seen the tokens, allowed is {limit:g}",
    "drift": "a log-probability moves by {figure:.3g} nats when the same tokens are scored again at the end of the "
    "evaluation, allowed is {limit:g}; evaluation must leave the model as it is",
    "canary": "random tokens are predicted {figure:.3g} nats better than anyone can, allowed is {limit:.3g}",
}


def audit(scorer: PassageScorer, panel: Workers, model: ModelSettings, rng: np.random.Generator) -> list[Audit]:
    """All audits of what was scored; the panel's scorers are gone afterwards. Raises AgentFault when a worker fails."""
    tolerance = TOLERANCES[model.dtype]
    drift = _drift(scorer.first_answers, model, tolerance, rng)
    examined = _examine(scorer.samples, panel.auditor(), model, rng)
    return [
        examined.normalisation(),
        examined.causality(tolerance),
        examined.commitment(tolerance),
        *examined.bias(tolerance),
        drift,
        _canary(scorer.canary_logprobs, model.vocab_size),
    ]


@dataclass(frozen=True)
class _Examined:
    """What the auditor committed to, per sample; `moved` NaN where it was asked only once."""

    samples: Sequence[Sample]
    logprob: NDArray[np.float64]
    """Of the token that really came."""
    shortfall: NDArray[np.float64]
    """By which the token that was claimed to be the likeliest is less likely than the likeliest."""
    excess: NDArray[np.float64]
    """Of the distribution's sum over one, absolute."""
    moved: NDArray[np.float64]
    """Largest change of any log-probability in the distribution between the two times it was asked for."""

    def normalisation(self) -> Audit:
        return self._worst("normalisation", self.excess, NORMALISED, "probability")

    def causality(self, tolerance: Tolerance) -> Audit:
        return self._worst("causality", self.moved, tolerance.worst, "nats")

    def commitment(self, tolerance: Tolerance) -> Audit:
        off = np.maximum(np.abs(self._claimed - self.logprob), self.shortfall)
        return self._worst("commitment", off, tolerance.worst, "nats")

    def bias(self, tolerance: Tolerance) -> list[Audit]:
        """One per metric, because each could be favoured by itself."""
        favour = self._claimed - self.logprob
        found = []
        for metric in dict.fromkeys(sample.metric for sample in self.samples):
            of_metric = favour[[sample.metric == metric for sample in self.samples]]
            # Rounding favours nobody: an honest mean is as far from zero as chance has it.
            limit = tolerance.mean + 4 * float(of_metric.std()) / math.sqrt(len(of_metric))
            found.append(Audit("bias", float(of_metric.mean()), limit, "nats", len(of_metric), metric))
        return found

    @property
    def _claimed(self) -> NDArray[np.float64]:
        claimed = np.array([sample.logprob for sample in self.samples], dtype=np.float64)
        return claimed.clip(min=FLOOR)

    def _worst(self, name: str, values: NDArray[np.float64], limit: float, unit: str) -> Audit:
        index = int(np.nanargmax(values))
        asked = int(np.isfinite(values).sum())
        return Audit(name, float(values[index]), limit, unit, asked, self.samples[index].where)


def _examine(
    samples: Sequence[Sample], auditor: ModelClient, model: ModelSettings, rng: np.random.Generator
) -> _Examined:
    """Ask the auditor for every sample's distribution, in random order, and for some of them twice."""
    count = len(samples)
    repeated = np.arange(0, count, REPEATED)
    order = rng.permutation(np.concatenate([np.arange(count), repeated]))
    logprob, shortfall, excess = np.empty(count), np.empty(count), np.empty(count)
    moved = np.full(count, np.nan)
    earlier: dict[int, NDArray[np.float32]] = {}
    size = max(1, BATCH_TOKENS // model.block_size)
    for start in range(0, len(order), size):
        asked = order[start : start + size].tolist()
        tokens = rng.integers(model.vocab_size, size=(len(asked), model.block_size)).astype(np.int32)
        places = np.array([(row, len(samples[i].prefix) - 1) for row, i in enumerate(asked)], dtype=np.int32)
        for row, i in enumerate(asked):
            tokens[row, : len(samples[i].prefix)] = samples[i].prefix
        shown = np.maximum(auditor.distribution(tokens, places), FLOOR)
        sums = np.exp(shown, dtype=np.float64).sum(axis=1)
        for row, i in enumerate(asked):
            if i in earlier:
                moved[i] = np.abs(shown[row] - earlier.pop(i)).max()
                continue
            if i % REPEATED == 0:
                earlier[i] = shown[row]
            logprob[i] = shown[row, samples[i].target]
            shortfall[i] = shown[row].max() - shown[row, samples[i].greedy]
            excess[i] = abs(sums[row] - 1)
    return _Examined(samples, logprob, shortfall, excess, moved)


def _drift(
    answers: Sequence[FirstAnswer], model: ModelSettings, tolerance: Tolerance, rng: np.random.Generator
) -> Audit:
    """Each scorer's first batch once more, in another order and with endings cut off and made up."""
    worst, count, where = 0.0, 0, ""
    for first in answers:
        order = rng.permutation(len(first.tokens))
        tokens = first.tokens[order].copy()
        kept = [int(rng.integers(1, first.lengths[row])) for row in order]
        for again, length in zip(tokens, kept, strict=True):
            again[length + 1 :] = rng.integers(model.vocab_size, size=len(again[length + 1 :]))
        scores = first.scorer.score(tokens)
        for row, again, length in zip(order, scores.logprobs, kept, strict=True):
            change = np.abs(np.maximum(again[:length], FLOOR) - np.maximum(first.logprobs[row, :length], FLOOR))
            count += length
            if change.max() > worst:
                worst, where = float(change.max()), f"position {int(change.argmax())} of a sequence of {length + 1}"
    return Audit("drift", worst, tolerance.worst, "nats", count, where)


def _canary(logprobs: Sequence[float], vocab_size: int) -> Audit:
    """Uniform random tokens cost at least ln V nats on average, whatever the model (Gibbs' inequality).

    The figure is how much less they cost; the limit is five standard errors of the mean, and rounding.
    """
    losses = -np.maximum(np.array(logprobs), FLOOR)
    limit = 1e-3 + 5 * float(losses.std()) / math.sqrt(len(losses))
    return Audit("canary", math.log(vocab_size) - float(losses.mean()), limit, "nats", len(losses))
