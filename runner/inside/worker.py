"""A model worker: the only process of an evaluation that runs the agent's code.

`python -m runner.inside.worker READ_FD WRITE_FD` answers requests on that pair of pipes until it is closed:
`load` (script, checkpoint, model settings), `score` and `distribution` (token arrays). Its first frame, sent before
any of the agent's code is imported, says that the process itself is sound. It is given tokens and returns
log-probabilities; it sees no evaluation data, no labels and no metrics.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from runner.inside.model import ModelError, blamed, load_model
from runner.inside.scoring import distributions, next_tokens
from runner.inside.settings import ModelSettings
from runner.inside.wire import Array, Wire, WireClosed

MAX_REQUEST = 1 << 28
"""Bytes of tokens in a request."""


class Worker:
    """The loaded model, and the answers it gives."""

    def __init__(self, script: Path, checkpoint: Path, settings: ModelSettings) -> None:
        self._script = script
        self._settings = settings
        self._model = load_model(script, checkpoint, settings)

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


def serve(wire: Wire) -> None:
    """Say hello, then answer requests until the evaluator closes the pipe."""
    wire.send({"ok": True, "torch": torch.__version__, "cuda": torch.cuda.is_available()})
    worker: Worker | None = None
    while True:
        try:
            request, arrays = wire.receive(MAX_REQUEST)
        except WireClosed:
            return
        try:
            if worker is None:
                worker = _load(request)
                wire.send({"ok": True})
            else:
                wire.send({"ok": True}, worker.answer(request["op"], arrays))
        except ModelError as error:
            wire.send({"ok": False, "fault": str(error)[:2000]})


def _load(request: dict[str, Any]) -> Worker:
    assert request["op"] == "load", request["op"]
    return Worker(Path(request["script"]), Path(request["checkpoint"]), ModelSettings(**request["model"]))


def _array(tensor: torch.Tensor) -> Array:
    values: Array = tensor.cpu().numpy()
    return values.astype("<i4" if values.dtype.kind == "i" else np.dtype("<f4"), copy=False)


if __name__ == "__main__":
    serve(Wire(int(sys.argv[1]), int(sys.argv[2])))
    os._exit(0)  # whatever the agent's code registered for the end of the process does not run
