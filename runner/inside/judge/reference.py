"""The reference: our own unedited script, trained here, which takes the luck of the text out of a certificate."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runner.inside.faults import SetupFault


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
