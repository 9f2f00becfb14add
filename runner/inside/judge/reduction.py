"""Weights that lose what honest models do not need, before any of the agent's code sees them.

A number of 32 bits has room for several narrow ones, which a model could unpack. So each float is changed a little at
random, tiny ones become zero and huge ones are clipped, both measured by their tensor: about eight bits of each reach
the model. The draw is fresh for each evaluation and the same for all of its workers. docs/trust.md says what it costs.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runner.inside.judge.checkpoint import Checkpoint, StoredTensor

CHUNK = 1 << 20
"""Elements that are worked on at a time by one thread."""


@dataclass(frozen=True)
class Loss:
    """What the numbers of a tensor lose."""

    noise: float
    """Standard deviation of the relative change."""
    flush: float
    """Below this times the tensor's root mean square a number becomes zero."""
    clip: float
    """Above this times it a number becomes as large as that."""


MATRIX = Loss(noise=2**-6, flush=2**-6, clip=2.0**6)
"""An identity has a root mean square of one over the root of its width: of 4096 columns it still arrives whole. A lower
limit to large numbers would hardly save a bit: one in 64 at most is above eight times the root mean square."""
VECTOR = Loss(noise=2**-8, flush=2**-10, clip=2.0**5)
"""For gains and biases, of which each acts alone: tensors of at most one dimension that is longer than one."""
VECTORS_SHARE = 1 / 16
"""Where more than this share of all numbers is in vectors, they lose as much as matrices."""
FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "C64": "<f4"}
"""Types that lose something, and the type of NumPy's that their bytes are read as: complex numbers as pairs."""


def reduced(checkpoint: Checkpoint) -> NDArray[np.uint8]:
    """A safetensors file with the checkpoint's tensors, sorted by name and without metadata, floats reduced."""
    header, starts, size = _layout(checkpoint.tensors)
    out = np.empty(size, dtype=np.uint8)
    out[: len(header)] = np.frombuffer(header, dtype=np.uint8)
    total = sum(math.prod(tensor.shape) for tensor in checkpoint.tensors)
    in_vectors = sum(math.prod(tensor.shape) for tensor in checkpoint.tensors if _is_vector(tensor))
    spared = in_vectors <= VECTORS_SHARE * total
    seeds = np.random.SeedSequence()
    threads = min(8, len(os.sched_getaffinity(0)))
    with ThreadPoolExecutor(threads) as pool:
        for tensor, start in zip(checkpoint.tensors, starts, strict=True):
            stored = checkpoint.contents[tensor.start : tensor.start + tensor.size]
            target = out[start : start + tensor.size]
            if tensor.dtype in FLOATS:
                loss = VECTOR if spared and _is_vector(tensor) else MATRIX
                _reduce(stored, target, FLOATS[tensor.dtype], loss, seeds, pool)
            elif tensor.dtype == "BOOL":
                target[:] = stored != 0
            else:
                target[:] = stored
    return out


def _layout(tensors: Sequence[StoredTensor]) -> tuple[bytes, list[int], int]:
    """The file's beginning, the first byte of each tensor, and its length in bytes."""
    entries, offset, offsets = {}, 0, []
    for tensor in tensors:
        entries[tensor.name] = {
            "dtype": tensor.dtype,
            "shape": tensor.shape,
            "data_offsets": [offset, offset + tensor.size],
        }
        offsets.append(offset)
        offset += tensor.size
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    header = len(text).to_bytes(8, "little") + text
    return header, [len(header) + start for start in offsets], len(header) + offset


def _is_vector(tensor: StoredTensor) -> bool:
    return sum(length > 1 for length in tensor.shape) <= 1


def _reduce(
    stored: NDArray[np.uint8],
    target: NDArray[np.uint8],
    dtype: str,
    loss: Loss,
    seeds: np.random.SeedSequence,
    pool: ThreadPoolExecutor,
) -> None:
    width = np.dtype(dtype).itemsize
    pieces = [slice(start, start + CHUNK * width) for start in range(0, len(stored), CHUNK * width)]
    # Copied, because a tensor need not begin where its numbers could be read in place.
    squares, counts = np.array(
        list(pool.map(lambda piece: _energy(_numbers(stored[piece], dtype)), pieces)) or [(0.0, 0)]
    ).T
    rms = math.sqrt(squares.sum() / max(1, counts.sum()))

    def work(piece: slice, seed: np.random.SeedSequence) -> None:
        target[piece] = _bytes(_lossy(_numbers(stored[piece], dtype), loss, rms, seed), dtype)

    list(pool.map(work, pieces, seeds.spawn(len(pieces))))


def _energy(values: NDArray[np.float32]) -> tuple[float, int]:
    """The sum of the squares of those numbers that are finite, and how many they are."""
    finite = values[np.isfinite(values)].astype(np.float64)
    return float(np.dot(finite, finite)), len(finite)


def _lossy(values: NDArray[np.float32], loss: Loss, rms: float, seed: np.random.SeedSequence) -> NDArray[np.float32]:
    """float32 numbers, changed in place. What is not a number has no bits of its own afterwards."""
    normal = np.random.Generator(np.random.SFC64(seed)).standard_normal(len(values), dtype=np.float32)
    size = np.abs(values)
    small, endless, none = size < loss.flush * rms, np.isinf(values), np.isnan(values)
    normal *= loss.noise
    normal += 1
    most = loss.clip * rms
    with np.errstate(over="ignore", invalid="ignore"):
        values *= normal
        np.clip(values, -most, most, out=values, where=~endless)
    values[small] = 0
    values[values == 0] = 0  # of zero there is one
    values[none] = np.nan
    return values


def _numbers(stored: NDArray[np.uint8], dtype: str) -> NDArray[np.float32]:
    """A copy as float32, also of wider ones: beneath the noise there must be no finer grid that survives it."""
    raw = np.frombuffer(stored.tobytes(), dtype=dtype)
    if dtype == "<u2":
        return (raw.astype("<u4") << 16).view("<f4")
    with np.errstate(over="ignore"):
        return raw.astype("<f4")


def _bytes(values: NDArray[np.float32], dtype: str) -> NDArray[np.uint8]:
    """The inverse, rounded to the nearest."""
    stored: NDArray[np.uint8]
    if dtype == "<u2":
        bits = values.astype("<f4").view("<u4")
        rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
        rounded[np.isnan(values)] = 0x7FC0
        stored = rounded.astype("<u2").view(np.uint8)
        return stored
    with np.errstate(over="ignore"):
        stored = values.astype(dtype).view(np.uint8)
    return stored
