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

from runner.inside.complaints import complaint
from runner.inside.judge.passage_scorer import FirstAnswer, PassageScorer, Sample
from runner.inside.judge.passages import BATCH_TOKENS
from runner.inside.judge.worker_client import ModelClient
from runner.inside.judge.workers import Workers
from runner.inside.settings import ModelSettings


@dataclass(frozen=True)
class Tolerance:
    """Nats by which two honest computations of one log-probability may differ: rows share a batch with others."""

    worst: float
    """The most that any single one may differ by."""
    mean: float
    """The most that very many may differ by on average, in the claim's favour."""


TOLERANCES = {
    "float32": Tolerance(worst=1e-3, mean=1e-4),
    "float16": Tolerance(worst=0.02, mean=5e-4),
    "bfloat16": Tolerance(worst=0.1, mean=5e-4),
}
"""The tolerances by the type that the model computes in; docs/trust.md says what was measured."""
NORMALISED = 1e-3
"""How far the sum of a distribution may be from one."""
FLOOR = -1e4
"""Nats that stand for the logarithm of zero, so that two of them agree."""
REPEATED = 4
"""One sample in so many is shown twice, with other endings."""


@dataclass(frozen=True, kw_only=True)
class AuditFinding:
    """One audit and how it came out."""

    name: str
    """One of those in `complaints.SENTENCES`."""
    figure: float
    """The worst that was seen, in `unit`."""
    limit: float
    """The most that an honest model may show, in `unit`."""
    unit: str
    samples: int
    """How many places were looked at."""
    where: str = ""
    """The place of the figure; empty where it has none."""

    @property
    def passed(self) -> bool:
        return self.figure <= self.limit

    @property
    def complaint(self) -> str:
        """Which audit failed, where and by how much, in one line; meaningful only where it did fail."""
        return complaint(self.name, figure=self.figure, limit=self.limit, where=self.where)


def size_audit(parameters: int, cap: int) -> AuditFinding:
    """Whether a checkpoint holds no more numbers than are allowed."""
    return AuditFinding(name="parameters", figure=parameters, limit=cap, unit="parameters", samples=1)


def audit(
    scorer: PassageScorer, workers: Workers, model: ModelSettings, rng: np.random.Generator
) -> list[AuditFinding]:
    """All audits of what was scored; the scorers among the workers are gone afterwards.

    Raises AgentFault when a worker fails, SetupFault when the scorers cannot be got rid of.
    """
    tolerance = TOLERANCES[model.dtype]
    drift = _drift(scorer.first_answers, model, tolerance, rng)
    examined = _examine(scorer.samples, workers.auditor(), model, rng)
    return [
        examined.normalisation(),
        examined.causality(tolerance),
        examined.commitment(tolerance),
        *examined.bias(tolerance),
        drift,
        _canary(scorer.canary_logprobs, model.vocab_size),
    ]


@dataclass(frozen=True, kw_only=True)
class _Examined:
    """What the auditor committed to: of N samples, arrays (N,) in nats unless another unit is said."""

    samples: Sequence[Sample]
    logprob: NDArray[np.float64]
    """The log-probability of the token that really came."""
    shortfall: NDArray[np.float64]
    """How much less likely the token is that was claimed to be the likeliest than the one that is."""
    excess: NDArray[np.float64]
    """How far the distribution's sum is from one, as a probability."""
    moved: NDArray[np.float64]
    """The largest change of any log-probability between the two times the distribution was asked for; NaN where it was
    asked for once."""

    def normalisation(self) -> AuditFinding:
        return self._worst("normalisation", self.excess, NORMALISED, "probability")

    def causality(self, tolerance: Tolerance) -> AuditFinding:
        return self._worst("causality", self.moved, tolerance.worst, "nats")

    def commitment(self, tolerance: Tolerance) -> AuditFinding:
        off = np.maximum(np.abs(self._claimed - self.logprob), self.shortfall)
        return self._worst("commitment", off, tolerance.worst, "nats")

    def bias(self, tolerance: Tolerance) -> list[AuditFinding]:
        """One finding per metric, because each could be favoured by itself."""
        favour = self._claimed - self.logprob
        found = []
        for metric in dict.fromkeys(sample.metric for sample in self.samples):
            of_metric = favour[[sample.metric == metric for sample in self.samples]]
            # Rounding favours nobody: an honest mean is as far from zero as chance has it.
            limit = tolerance.mean + 4 * float(of_metric.std()) / math.sqrt(len(of_metric))
            mean = float(of_metric.mean())
            found.append(
                AuditFinding(name="bias", figure=mean, limit=limit, unit="nats", samples=len(of_metric), where=metric)
            )
        return found

    @property
    def _claimed(self) -> NDArray[np.float64]:
        claimed = np.array([sample.logprob for sample in self.samples], dtype=np.float64)
        return claimed.clip(min=FLOOR)

    def _worst(self, name: str, values: NDArray[np.float64], limit: float, unit: str) -> AuditFinding:
        index = int(np.nanargmax(values))
        return AuditFinding(
            name=name,
            figure=float(values[index]),
            limit=limit,
            unit=unit,
            samples=int(np.isfinite(values).sum()),
            where=self.samples[index].where,
        )


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
    return _Examined(samples=samples, logprob=logprob, shortfall=shortfall, excess=excess, moved=moved)


def _drift(
    answers: Sequence[FirstAnswer], model: ModelSettings, tolerance: Tolerance, rng: np.random.Generator
) -> AuditFinding:
    """Score each scorer's first batch once more, in another order and with endings cut off and made up."""
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
    return AuditFinding(name="drift", figure=worst, limit=tolerance.worst, unit="nats", samples=count, where=where)


def _canary(logprobs: Sequence[float], vocab_size: int) -> AuditFinding:
    """Uniform random tokens cost at least ln V nats on average, whatever the model (Gibbs' inequality).

    The figure is how much less they cost; the limit is five standard errors of the mean, and rounding.
    """
    losses = -np.maximum(np.array(logprobs), FLOOR)
    limit = 1e-3 + 5 * float(losses.std()) / math.sqrt(len(losses))
    gain = math.log(vocab_size) - float(losses.mean())
    return AuditFinding(name="canary", figure=gain, limit=limit, unit="nats", samples=len(losses))
