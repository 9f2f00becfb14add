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

from runner.inside.judge.finding import AuditFinding
from runner.inside.judge.passage_scorer import FirstAnswer, PassageScorer, Sample
from runner.inside.judge.predictions import answers
from runner.inside.judge.worker_client import ModelClient
from runner.inside.settings import ModelSettings


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """Nats by which two honest computations of one log-probability may differ: rows share a batch with others.

    All of it is known from honest models. Nothing is taken from the sample that is judged.
    """

    worst: float
    """The most that any single one may differ by."""
    spread: float
    """The most that they may differ by as a root mean square."""
    mean: float
    """The most that very many may differ by on average, in the claim's favour."""
    rounding: float
    """The largest root mean square of honest differences, which decides how far a mean of few may be from zero."""


TOLERANCES = {
    "float32": Tolerance(worst=1e-3, spread=1e-4, mean=2e-5, rounding=1e-5),
    "float16": Tolerance(worst=5e-2, spread=1e-3, mean=5e-5, rounding=2e-4),
    "bfloat16": Tolerance(worst=1e-1, spread=2e-3, mean=5e-5, rounding=2e-4),
}
"""The tolerances by the type that the model computes in; docs/trust.md says what was measured."""
STEEP = 16.0
"""Nats from which on a log-probability's rounding grows with it: a float's precision is relative."""
CANARY_ODDS = 1e-6
"""The probability at which an honest model fails the canary."""
NORMALISED = 1e-3
"""How far the sum of a distribution may be from one."""
FLOOR = -1e4
"""Nats that stand for the logarithm of zero, so that two of them agree."""


def audit_scorers(scorer: PassageScorer, model: ModelSettings, rng: np.random.Generator) -> list[AuditFinding]:
    """The audits that the scorers sit themselves, while they are there. Raises AgentFault when one fails."""
    return [
        _drift(scorer.first_answers, model, TOLERANCES[model.dtype], rng),
        _canary(scorer.canary_logprobs, model.vocab_size),
    ]


def audit_claims(
    scorer: PassageScorer, auditor: ModelClient, model: ModelSettings, rng: np.random.Generator
) -> list[AuditFinding]:
    """The audits of what was claimed, beside what the auditor commits to. Raises AgentFault when it fails."""
    tolerance = TOLERANCES[model.dtype]
    examined = _examine(scorer, auditor, model, rng)
    return [
        examined.normalisation(),
        examined.causality(tolerance),
        examined.commitment(tolerance),
        *examined.spread(tolerance),
        *examined.bias(tolerance),
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
        off = np.maximum(np.abs(self._favour), self.shortfall / self._scale)
        return self._worst("commitment", off, tolerance.worst, "nats")

    def spread(self, tolerance: Tolerance) -> list[AuditFinding]:
        """One finding per metric: many claims that are off by little."""
        return [
            AuditFinding(
                name="spread",
                figure=math.sqrt(float(np.square(favour).mean())),
                limit=tolerance.spread,
                unit="nats",
                samples=len(favour),
                metric=metric,
            )
            for metric, favour in self._by_metric()
        ]

    def bias(self, tolerance: Tolerance) -> list[AuditFinding]:
        """One finding per metric, because each could be favoured by itself."""
        return [
            AuditFinding(
                name="bias",
                figure=float(favour.mean()),
                # Rounding favours nobody: an honest mean is as far from zero as chance has it.
                limit=tolerance.mean + 4 * tolerance.rounding / math.sqrt(len(favour)),
                unit="nats",
                samples=len(favour),
                metric=metric,
            )
            for metric, favour in self._by_metric()
        ]

    def _by_metric(self) -> list[tuple[str, NDArray[np.float64]]]:
        metrics = np.array([sample.metric for sample in self.samples])
        return [(metric, self._favour[metrics == metric]) for metric in dict.fromkeys(metrics.tolist())]

    @property
    def _favour(self) -> NDArray[np.float64]:
        """By how much each claim is better than what the auditor committed to, in units of its rounding."""
        claimed = np.array([sample.logprob for sample in self.samples], dtype=np.float64).clip(min=FLOOR)
        favour: NDArray[np.float64] = (claimed - self.logprob) / self._scale
        return favour

    @property
    def _scale(self) -> NDArray[np.float64]:
        return np.maximum(1.0, np.abs(self.logprob) / STEEP)

    def _worst(self, name: str, values: NDArray[np.float64], limit: float, unit: str) -> AuditFinding:
        index = int(np.nanargmax(values))
        return AuditFinding(
            name=name,
            figure=float(values[index]),
            limit=limit,
            unit=unit,
            samples=int(np.isfinite(values).sum()),
            place=self.samples[index].where,
        )


def _examine(scorer: PassageScorer, auditor: ModelClient, model: ModelSettings, rng: np.random.Generator) -> _Examined:
    """Ask the auditor for every sample's distribution, in rounds, and for some of them twice."""
    samples, repeated = scorer.samples, scorer.repeated
    count = len(samples)
    logprob, shortfall, excess = np.empty(count), np.empty(count), np.empty(count)
    moved = np.full(count, np.nan)
    earlier: dict[int, NDArray[np.float32]] = {}
    for asked, told in answers(scorer.prefixes, scorer.audited(), auditor, model.vocab_size, rng):
        shown = np.maximum(told, FLOOR)
        sums = np.exp(shown).sum(axis=1, dtype=np.float64)
        for row, number in enumerate(asked):
            i = number if number < count else repeated[number - count]
            if i in repeated:
                if i in earlier:
                    moved[i] = np.abs(shown[row] - earlier.pop(i)).max()
                else:
                    earlier[i] = shown[row]
            if number >= count:
                continue
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
    return AuditFinding(name="drift", figure=worst, limit=tolerance.worst, unit="nats", samples=count, place=where)


def _canary(logprobs: Sequence[float], vocab_size: int) -> AuditFinding:
    """Uniform random tokens cost at least ln V nats on average, whatever the model (Gibbs' inequality).

    The figure is how much less they cost. That a causal model gains s nats on all of them together has a probability of
    at most e^-s (Ville 1939: its likelihood ratio to the uniform distribution is a martingale), which is the limit.
    """
    losses = -np.maximum(np.array(logprobs), FLOOR)
    limit = 1e-3 - math.log(CANARY_ODDS) / len(losses)
    gain = math.log(vocab_size) - float(losses.mean())
    return AuditFinding(name="canary", figure=gain, limit=limit, unit="nats", samples=len(losses))
