"""The evaluator's own look at a checkpoint: a plain file of tensors, and what its header says it is charged."""

from __future__ import annotations

import hashlib
import json
import math
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runner.inside.charges import BYTES, charge
from runner.inside.faults import CheckpointFault

MAX_HEADER = 4 << 20
"""The most bytes of a file's header."""
MAX_TENSORS = 10_000
MAX_DIMENSIONS = 16


@dataclass(frozen=True, kw_only=True)
class StoredTensor:
    """Where a tensor's elements are, and what they are."""

    name: str
    dtype: str
    """A key of `charges.BYTES`."""
    shape: tuple[int, ...]
    start: int
    """Its first byte in the file."""
    size: int
    """Bytes."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that can hold nothing but tensors. Its elements are not read before `sha256` or `contents` is."""

    path: Path
    tensors: tuple[StoredTensor, ...]
    """By name."""
    parameters: int
    """Numbers that it is charged: all tensors, persistent buffers included, tied weights once; names and shapes too."""

    @cached_property
    def contents(self) -> NDArray[np.uint8]:
        """The bytes of the whole file, mapped."""
        return np.memmap(self.path, dtype=np.uint8, mode="r")

    @cached_property
    def sha256(self) -> str:
        """The digest of the whole file, in hexadecimal."""
        return hashlib.sha256(self.contents.data).hexdigest()


def open_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint at `path`. Raises CheckpointFault for all but a plain safetensors file, also for a pickle."""
    size = _plain_size(path)
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > size - 8:
                raise CheckpointFault(path, "not a safetensors file of plain tensors (its header is cut off)")
            if length > MAX_HEADER:
                raise CheckpointFault(path, f"a header of {length:,} bytes, at most {MAX_HEADER:,} are allowed")
            header = file.read(length)
    except OSError as error:
        raise CheckpointFault(path, f"cannot be read ({error.strerror})") from None
    try:
        tensors = _tensors(json.loads(header), data=8 + length, end=size)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointFault(path, f"not a safetensors file of plain tensors ({reason})") from None
    if len(tensors) > MAX_TENSORS:
        raise CheckpointFault(path, f"{len(tensors):,} tensors, at most {MAX_TENSORS:,} are allowed")
    parameters = sum(charge(tensor.name, tensor.dtype, tensor.shape) for tensor in tensors)
    return Checkpoint(path, tensors, parameters)


def _plain_size(path: Path) -> int:
    try:
        found = path.lstat()  # a link or a pipe left in the output folder is not followed
    except OSError:
        raise CheckpointFault(path, "the training run left none in its output folder") from None
    if not stat.S_ISREG(found.st_mode):
        raise CheckpointFault(path, "not a plain file")
    if found.st_size == 0:
        raise CheckpointFault(path, "empty")
    return found.st_size


def _tensors(header: dict[str, dict[str, object]], data: int, end: int) -> tuple[StoredTensor, ...]:
    """The tensors of a header, by name; they fill the file from byte `data` to `end`. Raises ValueError and others."""
    found = [_tensor(name, entry, data) for name, entry in header.items() if name != "__metadata__"]
    reached = data
    for tensor in sorted(found, key=lambda tensor: (tensor.start, tensor.size)):
        if tensor.start != reached:
            raise ValueError("its tensors do not lie side by side")
        reached += tensor.size
    if reached != end:
        raise ValueError("its tensors do not fill it")
    return tuple(sorted(found, key=lambda tensor: tensor.name))


def _tensor(name: str, entry: dict[str, object], data: int) -> StoredTensor:
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BYTES:
        raise ValueError(f"a type that is none of {', '.join(BYTES)}")
    if not isinstance(shape, list) or not isinstance(offsets, list) or len(shape) > MAX_DIMENSIONS:
        raise ValueError("a tensor without a shape")
    if not all(type(number) is int and 0 <= number < 1 << 48 for number in (*shape, *offsets)):
        raise ValueError("an impossible shape")
    name.encode()  # half a character is none
    start, stop = offsets
    size = BYTES[dtype] * math.prod(shape)
    if stop - start != size:
        raise ValueError("a tensor that is not as long as its shape")
    return StoredTensor(name=name, dtype=dtype, shape=tuple(shape), start=data + start, size=size)
