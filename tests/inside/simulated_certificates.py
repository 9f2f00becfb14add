"""Certificates of honest models, simulated from what was measured of them."""

from __future__ import annotations

import numpy as np

from runner.inside.judge.certificate import SPREADS, Certificate, Losses, certify

TOKENS = {"bytes": (65_536, 1024), "gpt2": (10_485_760, 10_240)}
"""By tokenizer: tokens and passages that a claimed loss is a mean of."""
EXAM = {"bytes": (1024, 8), "gpt2": (2048, 8)}
"""Passages and cuts of an exam."""
SEEN = {
    # Loss of the model, distance from the reference, and scatter beside it: as measured.
    "bytes": [(1.9, 0.05, 0.366, 0.014), (2.06, 0.2, 0.47, 0.013), (1.5, -0.36, 0.62, 0.01), (1.84, -0.02, 0.41, 0.02)],
    "gpt2": [(3.386, -0.1, 0.55, 0.05), (3.167, -0.32, 0.89, 0.05)],
}


def simulated(tokenizer: str, rng: np.random.Generator, forged: float = 0.0) -> Certificate:
    """A certificate of an honest model whose claim is then made better by `forged` nats."""
    loss, apart, token, passage = SEEN[tokenizer][rng.integers(len(SEEN[tokenizer]))]
    count, cuts = EXAM[tokenizer]
    tokens, passages = TOKENS[tokenizer]
    # Losses have a long tail on one side.
    scatter = token * (rng.gamma(2.0, size=(count, cuts)) - 2.0) / 2**0.5 * rng.choice([-1, 1], size=(count, cuts))
    beside = apart + scatter + passage * rng.standard_normal((count, 1))
    reference = np.abs(rng.gamma(2.0, size=(count, cuts)))
    claimed = loss + rng.standard_normal() * (token**2 / tokens + passage**2 / passages) ** 0.5 - forged
    return certify(
        claimed,
        tokens=tokens,
        passages=passages,
        losses=reference + beside,
        spread=SPREADS[tokenizer],
        reference=Losses(loss - apart, reference),
    )
