"""The reference: our own unedited script, trained here, which takes the luck of the text out of a certificate."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runner.inside.faults import AgentFault, SetupFault
from runner.inside.judge.certificate import Exam, losses_at_cuts
from runner.inside.judge.passages import BATCH_TOKENS
from runner.inside.judge.worker_client import ModelClient


@dataclass(frozen=True)
class ReferenceModel:
    """A trained checkpoint of the unedited script."""

    heldout_loss: float
    """Its mean loss on the held-out text in nats per token."""
    weights: NDArray[np.uint8]
    """The bytes of its safetensors file, mapped."""


def read_reference(folder: Path) -> ReferenceModel:
    """`model.safetensors` and `reference.json` in `folder`. Raises SetupFault."""
    try:
        loss = json.loads((folder / "reference.json").read_text(encoding="utf-8"))["heldout_loss"]
        weights = np.memmap(folder / "model.safetensors", dtype=np.uint8, mode="r")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SetupFault("REFERENCE_DIR", f"{folder} holds no reference: {error}") from None
    if type(loss) is not float or not math.isfinite(loss):
        raise SetupFault("REFERENCE_DIR", f"{folder / 'reference.json'} has no heldout_loss")
    return ReferenceModel(loss, weights)


def reference_losses(exam: Exam, worker: ModelClient) -> NDArray[np.float64]:
    """The losses (N, C) of a loaded reference at an exam's cuts. Raises SetupFault: its faults are ours."""
    try:
        return losses_at_cuts(exam, np.concatenate(list(_scored(exam, worker))))
    except AgentFault as fault:
        raise SetupFault("reference", str(fault)) from None


def _scored(exam: Exam, worker: ModelClient) -> Iterator[NDArray[np.float32]]:
    size = max(1, BATCH_TOKENS // exam.passages.shape[1])
    for start in range(0, len(exam.passages), size):
        yield worker.score(exam.passages[start : start + size]).logprobs
