"""The certificate of a loss: what the model predicts of text that no process which runs the agent's code has seen.

A scorer is asked for its whole distribution after a prefix, and is shown what followed only when its answer is in
(`exam.py`). Whatever its code remembers, and whoever it talks to, the answer is not in the room. Against the true
conditional distribution p of the text, given all that was shown before, the likelihood ratio of its answers q is a
supermartingale: q is s nats better in sum with a probability of at most e^-s (Ville 1939), so no strategy beats real
prediction.

Those losses are compared with the ones that a reference of our own has on the very same tokens, which takes most of
the luck of the text out of the difference (a control variate with the coefficient one).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

ALARM = 4.0
"""Standard errors by which a claim may be better than its certificate: one honest claim in 30,000 is further off."""


ROUNDING = 5e-4
"""Nats by which the means of two honest computations of the same losses may differ, in any type of number."""


@dataclass(frozen=True)
class Extent:
    """How much a mean loss is a mean of."""

    tokens: int
    texts: int
    """Passages that have nothing to do with each other, or documents: tokens of one are no independent draws."""


@dataclass(frozen=True, kw_only=True)
class Scatter:
    """Standard deviations of a loss in nats, as honest models have them."""

    token: float
    text: float
    """Of a whole text's mean, beyond what its tokens scatter by themselves."""

    def at(self, distance: float) -> Scatter:
        """Of a model that is so many nats per token from the reference."""
        return replace(self, token=self.token + STRAYING * distance)

    def at_most(self, token: float) -> Scatter:
        """With no more scatter of tokens than that: a sample may narrow a limit, but never widens it."""
        return replace(self, token=min(self.token, token))

    def of_mean(self, extent: Extent) -> float:
        """The variance of a mean over text of one kind."""
        return self.token**2 / extent.tokens + self.text**2 / extent.texts

    def of_sample(self, tokens: int, of: int) -> float:
        """The variance of the mean over so many tokens, drawn singly and without repetition, beside that of all."""
        return (self.token**2 + self.text**2) * (1 / tokens - 1 / of)


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How losses of honest models scatter over text of one kind. The sample that is judged never widens a limit."""

    beside: Scatter
    """The difference to the reference's loss on the same token."""
    alone: Scatter
    """The loss itself, for want of a reference."""


SPREADS: Mapping[str, Mapping[str, Spread]] = {
    "bytes": {
        "val_loss": Spread(beside=Scatter(token=0.45, text=0.03), alone=Scatter(token=1.2, text=0.1)),
        "wikitext2_ppl": Spread(beside=Scatter(token=0.5, text=0.03), alone=Scatter(token=1.2, text=0.1)),
        "lambada_ppl": Spread(beside=Scatter(token=0.6, text=0.05), alone=Scatter(token=1.8, text=0.1)),
    },
    "gpt2": {
        "val_loss": Spread(beside=Scatter(token=0.9, text=0.12), alone=Scatter(token=3.6, text=0.6)),
        "wikitext2_ppl": Spread(beside=Scatter(token=0.9, text=0.12), alone=Scatter(token=3.6, text=0.6)),
        # Nothing holds LAMBADA to an exam here: this only says how finely it is told.
        "lambada_ppl": Spread(beside=Scatter(token=0.9, text=0.12), alone=Scatter(token=3.6, text=0.6)),
    },
}
"""By tokenizer and metric; docs/trust.md says what was measured."""
STRAYING = 0.8
"""A model that is x nats from the reference may scatter by this times x more beside it."""
FARTHEST = 0.3
"""Nats from the reference beyond which a model gets no more room: honest ones that are farther scatter hardly more."""
SEEN = 1.1
"""A limit allows for so many times the scatter of tokens that was seen, if that is less than honest models may have."""


@dataclass(frozen=True)
class Losses:
    """Mean losses of one model in nats per token."""

    level: float
    """On the text of the claim."""
    exam: NDArray[np.float64]
    """Of each token that the exam asks for, (N,)."""


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What a claimed mean loss (nats per token) is worth."""

    claimed: float
    certified: float
    """The mean loss that the exam gives on the text of the claim, by way of the reference where there is one."""
    error: float
    """Standard error of `certified`, from the sample."""
    limit: float
    """The most by which the claim may be better than `certified`."""
    tokens: int
    """Predicted in the exam."""
    reference: float | None
    """The reference's loss on the text of the claim; None without a reference."""

    @property
    def advantage(self) -> float:
        """By how many nats the claim is better than what the exam gives."""
        return self.certified - self.claimed


def certify(
    claimed: float,
    *,
    claim: Extent,
    losses: NDArray[np.float64],
    texts: NDArray[np.int64] | None,
    spread: Spread,
    reference: Losses | None,
) -> Certificate:
    """Hold a claimed mean loss over text of the extent `claim` against an exam's losses (N,).

    `texts` (N,) are the numbers of the texts that the exam's tokens are of. None says that the tokens were drawn singly
    from the text of the claim itself. Otherwise both are means over different texts of one kind, of an honest model
    apart by the luck of either.
    """
    beside = losses if reference is None else losses - reference.exam
    level = 0.0 if reference is None else reference.level
    certified = level + float(beside.mean())
    honest = spread.alone if reference is None else spread.beside
    if reference is not None:
        honest = honest.at(min(abs(certified - level), FARTHEST))
    honest = honest.at_most(SEEN * float(beside.std()))
    if texts is None:
        error = math.sqrt(beside.var() * (1 / len(losses) - 1 / claim.tokens))
        luck = math.sqrt(honest.of_sample(len(losses), claim.tokens))
    else:
        error, count = _error_of_mean(beside, texts)
        luck = math.sqrt(honest.of_mean(Extent(len(losses), count)) + honest.of_mean(claim))
    return Certificate(
        claimed=claimed,
        certified=certified,
        error=error,
        limit=ALARM * luck + ROUNDING,
        tokens=len(losses),
        reference=None if reference is None else level,
    )


def _error_of_mean(values: NDArray[np.float64], texts: NDArray[np.int64]) -> tuple[float, int]:
    """The standard error of a mean over values that belong to texts, and how many texts there are."""
    numbers = np.unique(texts, return_inverse=True)[1]
    sums = np.bincount(numbers, values - values.mean())
    count = len(sums)
    return math.sqrt(count / max(1, count - 1) * float(np.square(sums).sum())) / len(values), count
