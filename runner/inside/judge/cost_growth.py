"""How the cost of a model grows with the length of its input, for tasks whose question is about that.

In the models of these tasks most work has nothing to do with the length: at 1,024 tokens the layers around attention
are seven eighths of the operations of GPT-2 Medium, and more of its time. So what is looked at is the work per token:
where every position compares itself with all before it, that rises in proportion to the length, and else it does not.
How fast it rises is told in units of softmax attention at the same width, and how it rises by an exponent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from runner.inside.faults import ModelFault
from runner.inside.judge.worker_client import ModelClient
from runner.inside.names import COST_LENGTHS
from runner.inside.settings import ModelSettings

LENGTHS = COST_LENGTHS
"""Tokens of the inputs that are compared, each twice as long as the one before."""
NEGLIGIBLE = 0.01
"""Work that grows slower than this, as a share of what softmax attention's does, is not held against a model. One
layer of full attention among 24 is four times as much; states that are carried from chunk to chunk are less than half.
"""
PADDED = 0.05
"""Where the work per token falls faster with the length than this, in the same unit, short inputs are filled up to a
long one, and full attention would not show. One layer of it among 24, padded to the longest length, falls three times
as fast."""
QUADRATIC = 1.75
"""An exponent from here on counts as quadratic; that of softmax attention is 2."""
SAME_ANSWER = 0.05
"""By how much of its probability an answer may differ when it is given once more, on a CPU in float32 instead of on a
GPU in bfloat16."""


@dataclass(frozen=True, kw_only=True)
class CostGrowth:
    """How the operations of a forward pass grow with the length of its input."""

    lengths: Sequence[int] = LENGTHS
    operations: Sequence[float] = ()
    """Of one sequence of each length; none where they could not be counted."""
    beside_softmax: float | None = None
    """How fast the work per token rises from the shortest length to the longest, as a multiple of what softmax
    attention in every layer adds. 0 for work in proportion to the length, 1 for the unedited script."""
    exponent: float | None = None
    """The power of the length with which the part of the work that is not in proportion to it grows, 0 to 4; None where
    that part is negligible."""
    device: str = "cpu"
    """Where it was counted: on the CPU if the script runs there, because kernels of a GPU's own are not seen."""
    trained: bool = False
    """Whether the checkpoint itself was counted. Where its context is shorter than the longest length, an untrained
    model of the same script with a longer one was."""
    why_not: str = ""
    """Why nothing could be counted; empty where it was."""

    @property
    def subquadratic(self) -> bool | None:
        """None where nothing could be counted."""
        if self.beside_softmax is None:
            return None
        return self.exponent is None or self.exponent < QUADRATIC


def measure_cost_growth(worker: ModelClient, model: ModelSettings, rng: np.random.Generator) -> CostGrowth:
    """Count a worker's forward passes on random tokens, before it is shown anything else. Raises AgentFault.

    They are counted on the CPU, where a script has to do by PyTorch's operators what it may leave to kernels of its own
    on a GPU; and where the checkpoint itself is counted, the answers have to be those that it gives uncounted where it
    is scored. What a script cannot do on a CPU is counted on its GPU, without such kernels.
    """
    found = CostGrowth()
    for device in dict.fromkeys(("cpu", model.device)):
        try:
            return _measured(worker, model, device, rng)
        except ModelFault as fault:
            found = CostGrowth(device=device, trained=_long_enough(model), why_not=str(fault)[:500])
    return found


def _measured(worker: ModelClient, model: ModelSettings, device: str, rng: np.random.Generator) -> CostGrowth:
    trained = _long_enough(model)
    counted = []
    for length in LENGTHS:
        tokens = rng.integers(model.vocab_size, size=(1, length)).astype(np.int32)
        logprobs, operations = worker.count_operations(tokens, LENGTHS[-1], device)
        counted.append(operations)
        if trained:
            plain = worker.distribution(tokens, np.array([(0, length - 1)], dtype=np.int32))
            if float(np.abs(np.exp(logprobs) - np.exp(plain)).sum()) / 2 > SAME_ANSWER:
                why_not = "the model answers otherwise while it is counted"
                return CostGrowth(device=device, trained=True, why_not=why_not)
    return replace(growth_of(counted, model, trained=trained), device=device)


def _long_enough(model: ModelSettings) -> bool:
    return model.block_size >= LENGTHS[-1]


def growth_of(operations: Sequence[float], model: ModelSettings, *, trained: bool) -> CostGrowth:
    """What the operations on one sequence of each of LENGTHS say."""
    # Every logit is a product over the model's width: less than these cannot be the truth.
    head = 2.0 * model.n_embd * model.vocab_size
    if not all(math.isfinite(count) and count >= head * at for count, at in zip(operations, LENGTHS, strict=True)):
        return CostGrowth(trained=trained, why_not="fewer operations were counted than the output layer alone takes")
    per_token = [count / length for count, length in zip(operations, LENGTHS, strict=True)]
    first, second = (after - before for before, after in pairwise(per_token))
    # Softmax attention: q k^T and the weighted sum of values, a multiplication and an addition each.
    softmax = 4.0 * model.n_layer * model.n_embd * (LENGTHS[-1] - LENGTHS[0])
    beside_softmax = (first + second) / softmax
    if beside_softmax < -PADDED:
        return CostGrowth(
            operations=tuple(operations),
            trained=trained,
            why_not=f"inputs of {LENGTHS[0]} tokens cost as much as much longer ones, so that no growth could show; "
            f"pad to no more than a multiple of {LENGTHS[0]}",
        )
    exponent = None
    if beside_softmax >= NEGLIGIBLE:
        # At twice the length so many times the rise: 2 for work per token that is in proportion to the length. What has
        # stopped rising, as a window of constant length does, comes to 0, and what rises only at last to 4.
        nothing = softmax * 1e-6
        exponent = min(4.0, max(0.0, 1 + math.log2(max(second, nothing) / max(first, nothing))))
    return CostGrowth(operations=tuple(operations), beside_softmax=beside_softmax, exponent=exponent, trained=trained)
