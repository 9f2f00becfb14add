"""A model worker at work: loads the agent's model and answers the evaluator's requests."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from runner.inside.model_worker.logprobs import distributions, next_tokens
from runner.inside.model_worker.model import (
    MODULE_NAME,
    ModelError,
    blamed,
    build_again,
    load_model,
    stored_tensors,
)
from runner.inside.model_worker.operations import OperationCount
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
        self._counted: tuple[ModelSettings, torch.nn.Module] | None = None
        """A twin of the model, while operations are counted in it."""

    def answer(self, operation: str, arrays: list[Array]) -> list[Array]:
        """The arrays asked for. Raises ModelError for anything the agent's code does wrong."""
        self._counted = None
        # Not inference_mode: some models take gradients of their own while they run.
        with blamed("running the model", self._script), torch.no_grad():
            return [_array(tensor) for tensor in self._compute(operation, arrays)]

    def count_operations(self, tokens: Array, block_size: int, device: str) -> list[Array]:
        """For tokens (1, T): the log-probabilities after the last of them (1, V) float32, and how many operations the
        model needed for them on `device` (1,) float32. Raises ModelError.

        A model on another device is counted in a twin that has its weights; one whose context is shorter than
        `block_size` in an untrained twin with so long a context.
        """
        own = self._settings
        settings = replace(
            own,
            block_size=max(block_size, own.block_size),
            device=device,
            dtype=own.dtype if device == own.device else "float32",
        )
        model = self._model if settings == own else self._twin(settings)
        last = torch.tensor([(0, tokens.shape[1] - 1)], device=device)
        asked = torch.from_numpy(tokens).to(device, torch.int64)
        # Compiled code would be one operator, or none, to whoever counts. What compiles takes a second to import.
        compiles = own.device == "cuda" or "torch._dynamo" in sys.modules
        eager = torch.compiler.set_stance("force_eager") if compiles else nullcontext()
        with blamed("counting the model's operations", self._script), torch.no_grad(), eager, OperationCount() as count:
            answer = distributions(model, asked, last, settings)
        return [_array(answer), np.array([count.operations], dtype="<f4")]

    def _twin(self, settings: ModelSettings) -> torch.nn.Module:
        if self._counted is None or self._counted[0] != settings:
            twin = build_again(self._script, sys.modules[MODULE_NAME], settings)
            if settings.block_size == self._settings.block_size:
                trained = dict(stored_tensors(self._model))
                with blamed("copying the checkpoint", self._script), torch.no_grad():
                    for name, tensor in stored_tensors(twin):
                        tensor.copy_(trained[name])
            self._counted = settings, twin.to(settings.device).eval()
        return self._counted[1]

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
            elif request["op"] == "operations":
                wire.send({"ok": True}, worker.count_operations(arrays[0], request["block_size"], request["device"]))
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
