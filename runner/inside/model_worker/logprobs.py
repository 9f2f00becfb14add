"""The worker's arithmetic: log-probabilities of tokens under the agent's model, normalised here and in float32."""

from __future__ import annotations

import torch

from runner.inside.model_worker.model import ModelError
from runner.inside.settings import ModelSettings

CHUNK = 1 << 26
"""How many logits are normalised at a time, which bounds the float32 copies to 256 MiB each."""


def next_tokens(
    model: torch.nn.Module, tokens: torch.Tensor, settings: ModelSettings
) -> tuple[torch.Tensor, torch.Tensor]:
    """How likely each token was after those before it, and which would have been likeliest.

    tokens (B, T) int64 -> natural log-probabilities of tokens[:, 1:] (B, T-1) float32, argmax ids (B, T-1) int32.
    """
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    logits = _logits(model, inputs, settings).flatten(0, 1)
    rows = max(1, CHUNK // logits.shape[1])
    logprobs, argmaxes = [], []
    for piece, wanted in zip(logits.split(rows), targets.flatten().split(rows), strict=True):
        normalised = torch.log_softmax(piece.float(), dim=-1)
        logprobs.append(normalised.gather(1, wanted[:, None])[:, 0])
        argmaxes.append(normalised.argmax(dim=-1))
    return torch.cat(logprobs).view(targets.shape), torch.cat(argmaxes).view(targets.shape).int()


def distributions(
    model: torch.nn.Module, tokens: torch.Tensor, positions: torch.Tensor, settings: ModelSettings
) -> torch.Tensor:
    """What the model expects after `tokens[row, :position + 1]`, over the whole vocabulary.

    tokens (B, T) int64, positions (N, 2) int64 of (row, position) -> natural log-probabilities (N, V) float32.
    """
    logits = _logits(model, tokens, settings)
    return torch.log_softmax(logits[positions[:, 0], positions[:, 1]].float(), dim=-1)


def _logits(model: torch.nn.Module, inputs: torch.Tensor, settings: ModelSettings) -> torch.Tensor:
    """Raises ModelError when `forward` returns anything but logits (B, T, V), alone or first in a tuple."""
    dtype = getattr(torch, settings.dtype)
    with torch.autocast(settings.device, dtype=dtype, enabled=settings.dtype != "float32"):
        output = model(inputs)
    logits = output[0] if isinstance(output, tuple) and output else output
    expected = (*inputs.shape, settings.vocab_size)
    if not isinstance(logits, torch.Tensor) or tuple(logits.shape) != expected:
        got = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise ModelError(f"GPT.forward(idx) must return (logits, loss) with logits of shape {expected}, returned {got}")
    return logits
