"""A model worker: the only process of an evaluation that runs the agent's code, in a sandbox of its own.

`python -P -m runner.inside.worker`, in a folder that holds the agent's script (SCRIPT) and with MEET_DIR, answers the
evaluator's requests until it is left: `weights` (a piece of the checkpoint, not answered), `load` (model settings),
`score` and `distribution` (token arrays). Its first frame, sent before any of the agent's code is imported, says that
the process itself is sound. It is given tokens and returns log-probabilities; it sees no evaluation data, no labels,
no file of the training run and no metrics.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from runner.inside.meeting import join
from runner.inside.model import ModelError, blamed, load_model
from runner.inside.scoring import distributions, next_tokens
from runner.inside.settings import ModelSettings
from runner.inside.wire import Array, Wire, WireClosed

MAX_REQUEST = 1 << 28
"""Bytes of arrays in a request."""
PATIENCE_S = 180.0
"""For the evaluator to be there."""


class Worker:
    """The loaded model, and the answers it gives."""

    def __init__(self, script: Path, weights: bytes, settings: ModelSettings) -> None:
        self._script = script
        self._settings = settings
        self._model = load_model(script, weights, settings)

    def answer(self, operation: str, arrays: list[Array]) -> list[Array]:
        """The arrays asked for. Raises ModelError for anything the agent's code does wrong."""
        with blamed("running the model", self._script), torch.inference_mode():
            return [_array(tensor) for tensor in self._compute(operation, arrays)]

    def _compute(self, operation: str, arrays: list[Array]) -> tuple[torch.Tensor, ...]:
        tensors = [torch.from_numpy(array).to(self._settings.device, torch.int64) for array in arrays]
        if operation == "score":
            return next_tokens(self._model, tensors[0], self._settings)
        assert operation == "distribution", operation
        return (distributions(self._model, tensors[0], tensors[1], self._settings),)


def serve(wire: Wire, script: Path) -> None:
    """Say hello, then answer requests until the evaluator closes the wire."""
    wire.send({"ok": True, "torch": torch.__version__, "cuda": torch.cuda.is_available()})
    weights = bytearray()
    worker: Worker | None = None
    while True:
        try:
            request, arrays = wire.receive(MAX_REQUEST)
        except WireClosed:
            return
        if request["op"] == "weights":
            weights += arrays[0].tobytes()
            continue
        try:
            if worker is None:
                worker = _load(script, request, bytes(weights))
                weights.clear()
                wire.send({"ok": True})
            else:
                wire.send({"ok": True}, worker.answer(request["op"], arrays))
        except ModelError as error:
            wire.send({"ok": False, "fault": str(error)[:2000]})


def _load(script: Path, request: dict[str, Any], weights: bytes) -> Worker:
    assert request["op"] == "load", request["op"]
    return Worker(script, weights, ModelSettings(**request["model"]))


def _array(tensor: torch.Tensor) -> Array:
    values: Array = tensor.cpu().numpy()
    return values.astype("<i4" if values.dtype.kind == "i" else np.dtype("<f4"), copy=False)


if __name__ == "__main__":
    serve(join(Path(os.environ["MEET_DIR"]), PATIENCE_S), Path.cwd() / os.environ["SCRIPT"])
    os._exit(0)  # whatever the agent's code registered for the end of the process does not run
