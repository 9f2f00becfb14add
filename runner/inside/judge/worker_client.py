"""The evaluator's side of a worker: asks, waits so long and no longer, and believes nothing it can check."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from runner.inside.faults import ModelFault, ReplyRefused, SetupFault, WorkerDied, WorkerTimedOut
from runner.inside.settings import ModelSettings
from runner.inside.wire import Array, Wire, WireClosed, WireError, WireGarbage, WireTimeout

ROUNDING = 1e-3
"""A log-probability may exceed zero by this much."""
PIECE = 1 << 26
"""The most bytes of weights in a frame."""


@dataclass(frozen=True)
class Scores:
    """What a worker claims of tokens (B, T): both arrays are (B, T-1), for the tokens from the second on."""

    logprobs: NDArray[np.float32]
    """Natural log-probability of the token that follows. -inf is possible, NaN is not."""
    greedy: NDArray[np.int32]
    """The token that is likeliest there."""


class ModelClient:
    """One worker with the agent's model in it. A context manager: leaving it closes the wire, which ends the worker.

    Every method raises an AgentFault: ModelFault (the model failed), WorkerDied, WorkerTimedOut or ReplyRefused.
    """

    def __init__(self, wire: Wire, settings: ModelSettings, start_timeout_s: float, request_timeout_s: float) -> None:
        self._wire = wire
        self._settings = settings
        self._start_timeout_s = start_timeout_s
        self._request_timeout_s = request_timeout_s
        self._patience_s = start_timeout_s
        """Seconds that are left for what a model does when it first meets a shape, such as compiling."""
        self._met: set[tuple[str, tuple[int, ...]]] = set()

    @property
    def vocab_size(self) -> int:
        return self._settings.vocab_size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._wire.close()

    def load(self, weights: NDArray[np.uint8]) -> None:
        """Have the model built with the bytes of a safetensors file.

        Raises SetupFault when the worker fails before it meets the agent's code.
        """
        try:
            hello, _ = self._wire.receive(0, self._start_timeout_s)
            for start in range(0, len(weights), PIECE):
                self._wire.send({"op": "weights"}, [weights[start : start + PIECE]], self._start_timeout_s)
        except WireError as error:
            raise SetupFault("model worker", str(error)) from None
        if self._settings.device == "cuda" and not hello.get("cuda"):
            raise SetupFault("DEVICE", f"torch {hello.get('torch')} finds no usable CUDA device")
        self._ask({"op": "load", "model": asdict(self._settings)}, [], [], "loading the model", self._start_timeout_s)

    def score(self, tokens: NDArray[np.int32]) -> Scores:
        """Log-probabilities of tokens[:, 1:] (B, T-1), each given the tokens before it in its row of (B, T)."""
        doing = "scoring tokens"
        rows, length = tokens.shape
        shape = (rows, length - 1)
        reply = self._ask_model("score", [tokens], [("<f4", shape), ("<i4", shape)], doing)
        logprobs, greedy = reply[0].astype(np.float32, copy=False), reply[1].astype(np.int32, copy=False)
        _check_logprobs(logprobs, doing)
        if greedy.min(initial=0) < 0 or greedy.max(initial=0) >= self._settings.vocab_size:
            raise ReplyRefused(doing, "it names tokens outside the vocabulary")
        return Scores(logprobs, greedy)

    def distribution(self, tokens: NDArray[np.int32], positions: NDArray[np.int32]) -> NDArray[np.float32]:
        """Log-probabilities over the vocabulary (N, V) of what follows tokens[row, :position + 1].

        tokens (B, T), positions (N, 2) of (row, position). That they sum to one is for the caller to check.
        """
        doing = "showing its distributions"
        expected = [("<f4", (len(positions), self._settings.vocab_size))]
        reply = self._ask_model("distribution", [tokens, positions], expected, doing)
        logprobs = reply[0].astype(np.float32, copy=False)
        _check_logprobs(logprobs, doing)
        return logprobs

    def count_operations(
        self, tokens: NDArray[np.int32], block_size: int, device: str
    ) -> tuple[NDArray[np.float32], float]:
        """For tokens (1, T) the log-probabilities after the last (1, V), and how many operations they took on `device`,
        in a model whose context is at least `block_size` long. The count is the worker's own word.
        """
        doing = "counting its operations"
        expected = [("<f4", (1, self._settings.vocab_size)), ("<f4", (1,))]
        request = {"op": "operations", "block_size": block_size, "device": device}
        reply = self._ask(request, [tokens], expected, doing, self._start_timeout_s)
        logprobs = reply[0].astype(np.float32, copy=False)
        _check_logprobs(logprobs, doing)
        return logprobs, float(reply[1][0])

    def _ask_model(
        self, operation: str, arrays: Sequence[Array], expected: Sequence[tuple[str, tuple[int, ...]]], doing: str
    ) -> list[Array]:
        """Ask what takes longer the first time; for all first times together the worker has what it has to start."""
        met = (operation, arrays[0].shape)
        if met in self._met:
            return self._ask({"op": operation}, arrays, expected, doing, self._request_timeout_s)
        self._met.add(met)
        began = time.monotonic()
        patience_s = max(self._request_timeout_s, self._patience_s)
        reply = self._ask({"op": operation}, arrays, expected, doing, patience_s)
        self._patience_s -= time.monotonic() - began
        return reply

    def _ask(
        self,
        request: dict[str, Any],
        arrays: Sequence[Array],
        expected: Sequence[tuple[str, tuple[int, ...]]],
        doing: str,
        timeout_s: float,
    ) -> list[Array]:
        limit = sum(4 * int(np.prod(shape)) for _, shape in expected)
        try:
            self._wire.send(request, arrays, timeout_s)
            header, reply = self._wire.receive(limit, timeout_s, expected)
        except WireClosed:
            raise WorkerDied(doing) from None
        except WireTimeout:
            raise WorkerTimedOut(doing, timeout_s) from None
        except WireGarbage as error:
            raise ReplyRefused(doing, str(error)) from None
        if header.get("ok") is not True:
            raise ModelFault(_one_line(str(header.get("fault"))))
        if len(reply) != len(expected):
            raise ReplyRefused(doing, "it holds no arrays")
        return reply


def _check_logprobs(logprobs: NDArray[np.float32], doing: str) -> None:
    if np.isnan(logprobs).any():
        raise ReplyRefused(doing, "its log-probabilities are not numbers (NaN)")
    if logprobs.max(initial=-1.0) > ROUNDING:
        raise ReplyRefused(doing, "its log-probabilities are above zero")


def _one_line(text: str) -> str:
    """Text the agent's process wrote, harmless in a terminal, a log and an observation."""
    return " ".join("".join(c if c.isprintable() else " " for c in text[:2000]).split())
