"""A model worker at work: loads the agent's model and answers the evaluator's requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from runner.inside.model_worker.logprobs import distributions, next_tokens
from runner.inside.model_worker.model import ModelError, blamed, load_model
from runner.inside.settings import ModelSettings
from runner.inside.wire import Array, Wire

MAX_REQUEST = 1 << 28
"""The most bytes of arrays in a request."""


class Worker:
    """The loaded model, and the answers it gives."""

    def __init__(self, script: Path, weights: bytes, settings: ModelSettings) -> None:
        self._script = script
        self._settings = settings
        self._model = load_model(script, weights, settings)

    def answer(self, operation: str, arrays: list[Array]) -> list[Array]:
        """The arrays asked for. Raises ModelError for anything the agent's code does wrong."""
        # Not inference_mode: some models take gradients of their own while they run.
        with blamed("running the model", self._script), torch.no_grad():
            return [_array(tensor) for tensor in self._compute(operation, arrays)]

    def _compute(self, operation: str, arrays: list[Array]) -> tuple[torch.Tensor, ...]:
        tensors = [torch.from_numpy(array).to(self._settings.device, torch.int64) for array in arrays]
        if operation == "score":
            return next_tokens(self._model, tensors[0], self._settings)
        assert operation == "distribution", operation
        return (distributions(self._model, tensors[0], tensors[1], self._settings),)


def serve(wire: Wire, script: Path) -> None:
    """Say hello, then answer requests. Raises WireClosed when the evaluator leaves."""
    wire.send({"ok": True, "torch": torch.__version__, "cuda": torch.cuda.is_available()})
    weights = bytearray()
    worker: Worker | None = None
    while True:
        request, arrays = wire.receive(MAX_REQUEST)
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
    values: Array = tensor.detach().cpu().numpy()
    return values.astype("<i4" if values.dtype.kind == "i" else np.dtype("<f4"), copy=False)
