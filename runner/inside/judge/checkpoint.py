"""The evaluator's own look at a checkpoint: a plain file of tensors, how many numbers it holds, and its bytes."""

from __future__ import annotations

import hashlib
import math
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from runner.inside.faults import CheckpointFault

_NUMBER_BYTES = {"F64": 8, "I64": 8, "U64": 8, "C64": 8}
"""Types wider than the four bytes of a float32, by their safetensors names."""
_HEADER_BYTES = 256
"""Bytes of a file's header that are free for each tensor, and once for the rest: twice what honest ones have."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that can hold nothing but tensors."""

    parameters: int
    """Numbers in all tensors, persistent buffers included, tied weights once; one of eight bytes counts as two, and
    what the file's header holds beyond names and shapes counts as well."""
    sha256: str
    """The digest of the whole file, in hexadecimal."""
    weights: NDArray[np.uint8]
    """The bytes of the whole file, mapped."""


def open_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint at `path`. Raises CheckpointFault for all but a plain safetensors file, also for a pickle."""
    weights = _mapped(path)
    try:
        with safe_open(path, framework="numpy") as file:
            names = file.keys()
            parameters = sum(_numbers(file.get_slice(name)) for name in names)
    except (SafetensorError, OSError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointFault(path, f"not a safetensors file of plain tensors ({reason})") from None
    # Names and metadata reach the model too: nobody hides numbers there for nothing.
    header = int.from_bytes(weights[:8].tobytes(), "little")
    parameters += max(0, header - _HEADER_BYTES * (len(names) + 1)) // 4
    return Checkpoint(parameters, hashlib.sha256(weights.data).hexdigest(), weights)


def _mapped(path: Path) -> NDArray[np.uint8]:
    try:
        mode = path.lstat().st_mode  # a link or a pipe left in the output folder is not followed
    except OSError:
        raise CheckpointFault(path, "the training run left none in its output folder") from None
    if not stat.S_ISREG(mode):
        raise CheckpointFault(path, "not a plain file")
    try:
        if path.stat().st_size == 0:
            raise CheckpointFault(path, "empty")
        return np.memmap(path, dtype=np.uint8, mode="r")
    except OSError as error:
        raise CheckpointFault(path, f"cannot be read ({error.strerror})") from None


def _numbers(tensor: object) -> int:
    """How many numbers a safetensors slice has, in units of four bytes where they are wider."""
    shape: list[int] = tensor.get_shape()  # type: ignore[attr-defined]
    dtype: str = tensor.get_dtype()  # type: ignore[attr-defined]
    return math.prod(shape) * _NUMBER_BYTES.get(dtype, 4) // 4
