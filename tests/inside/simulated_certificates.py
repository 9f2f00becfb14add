"""Certificates of honest models, simulated from what was measured of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from runner.inside.judge.certificate import SPREADS, Certificate, Extent, Losses, certify


@dataclass(frozen=True, kw_only=True)
class HonestModel:
    """Nats per token."""

    loss: float
    apart: float
    """How much it is worse than the reference."""
    token: float
    """How single tokens scatter beside the reference."""
    text: float
    """How the means of texts do, beyond that."""


@dataclass(frozen=True, kw_only=True)
class SimulatedExam:
    """What a claim is a mean of, what is predicted, and the models that were measured on such text."""

    claim: Extent
    exam: Extent
    models: tuple[HonestModel, ...]
    own: bool = False
    """Whether the exam's tokens are drawn singly from the claim's text."""


_SMOKE = (
    HonestModel(loss=1.90, apart=0.05, token=0.366, text=0.014),
    HonestModel(loss=2.06, apart=0.20, token=0.47, text=0.013),
    HonestModel(loss=1.50, apart=-0.36, token=0.62, text=0.01),
    HonestModel(loss=1.84, apart=-0.02, token=0.41, text=0.02),
)
_SMOKE_DOCUMENTS = (
    HonestModel(loss=1.817, apart=-0.088, token=0.434, text=0.013),  # another seed
    HonestModel(loss=1.907, apart=0.002, token=0.339, text=0.013),  # linear attention
    HonestModel(loss=1.494, apart=-0.411, token=0.734, text=0.036),  # bigram_hash
    HonestModel(loss=1.575, apart=-0.329, token=0.644, text=0.030),  # rope
    HonestModel(loss=2.680, apart=0.775, token=0.568, text=0.023),  # lion
)
_SMOKE_LAST_WORDS = (
    HonestModel(loss=2.459, apart=-0.173, token=0.480, text=0.0),  # another seed
    HonestModel(loss=2.273, apart=-0.359, token=0.809, text=0.0),  # bigram_hash
    HonestModel(loss=2.043, apart=-0.589, token=0.677, text=0.0),  # rope_qk_norm
    HonestModel(loss=3.374, apart=0.743, token=0.526, text=0.0),  # lion
    HonestModel(loss=2.593, apart=-0.038, token=0.360, text=0.057),  # muon
)
_LARGE = (
    HonestModel(loss=3.386, apart=-0.1, token=0.55, text=0.05),
    HonestModel(loss=3.167, apart=-0.32, token=0.89, text=0.05),
)
EXAMS = {
    ("bytes", "val_loss"): SimulatedExam(claim=Extent(65_536, 1024), exam=Extent(8192, 1024), models=_SMOKE),
    ("bytes", "wikitext2_ppl"): SimulatedExam(claim=Extent(4060, 12), exam=Extent(2048, 128), models=_SMOKE_DOCUMENTS),
    ("bytes", "lambada_ppl"): SimulatedExam(claim=Extent(500, 100), exam=Extent(640, 128), models=_SMOKE_LAST_WORDS),
    ("gpt2", "val_loss"): SimulatedExam(claim=Extent(10_485_760, 10_240), exam=Extent(16_384, 2048), models=_LARGE),
    ("gpt2", "wikitext2_ppl"): SimulatedExam(
        claim=Extent(287_644, 62), exam=Extent(4096, 4096), models=_LARGE, own=True
    ),
}
"""By tokenizer and metric."""


def simulated(
    tokenizer: str, metric: str, rng: np.random.Generator, *, forged: float = 0.0, model: HonestModel | None = None
) -> Certificate:
    """A certificate of an honest model, by default any of those measured, whose claim is then made better by `forged`
    nats."""
    about = EXAMS[tokenizer, metric]
    model = model or about.models[rng.integers(len(about.models))]
    shape = about.exam.texts, about.exam.tokens // about.exam.texts
    # Losses have a long tail on one side.
    scatter = model.token * (rng.gamma(2.0, size=shape) - 2.0) / 2**0.5 * rng.choice([-1, 1], size=shape)
    beside = model.apart + scatter + model.text * rng.standard_normal((shape[0], 1))
    reference = np.abs(rng.gamma(2.0, size=shape))
    variance = 0.0 if about.own else model.token**2 / about.claim.tokens + model.text**2 / about.claim.texts
    return certify(
        model.loss + rng.standard_normal() * variance**0.5 - forged,
        claim=about.claim,
        losses=(reference + beside).ravel(),
        texts=None if about.own else np.repeat(np.arange(shape[0]), shape[1]),
        spread=SPREADS[tokenizer][metric],
        reference=Losses(model.loss - model.apart, reference.ravel()),
    )
