"""How many parameters a script's model has, counted without training it and, where it can be, without its memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import torch

from runner.inside.charges import NUMBERS, charge_for_name
from runner.inside.faults import AgentFault, SetupFault
from runner.inside.model_worker.model import ModelError, build_model, stored_tensors
from runner.inside.settings import read_model_settings


def count_script(env: Mapping[str, str], folder: Path) -> int:
    """Parameters of the model that the script in `folder` builds at the settings in `env`.

    Raises AgentFault for a script that builds none, SetupFault for settings.
    """
    settings = read_model_settings(env)
    name = env.get("SCRIPT", "")
    if not name:
        raise SetupFault("SCRIPT", "not set")
    script = folder / name
    try:
        with torch.device("meta"):  # shapes without contents
            return count_elements(build_model(script, settings))
    except ModelError:
        pass  # an initialization that needs numbers, such as a QR decomposition or what NumPy made
    try:
        return count_elements(build_model(script, settings))
    except ModelError as error:
        raise AgentFault(str(error)) from error


def count_elements(model: torch.nn.Module) -> int:
    """What a safetensors checkpoint of `model` is charged: persistent buffers included, shared memory once, names and
    shapes too. Of several names for one tensor the longest counts, for the file may keep any."""
    spans: dict[tuple[int, str], set[tuple[int, int]]] = defaultdict(set)
    names: dict[tuple[int, int, torch.Size], int] = defaultdict(int)
    for name, tensor in stored_tensors(model):
        # Tensors without contents have no address: the storage object itself tells which of them share one.
        storage, start = tensor.untyped_storage()._cdata, tensor.storage_offset()
        spans[storage, _dtype(name, tensor)].add((start, start + tensor.numel()))
        same = storage, start, tensor.shape
        names[same] = max(names[same], charge_for_name(name, tensor.ndim))
    return sum(NUMBERS[dtype] * _covered(shared) for (_, dtype), shared in spans.items()) + sum(names.values())


def _dtype(name: str, tensor: torch.Tensor) -> str:
    """Safetensors' name of its type. Raises ModelError for one that an evaluation does not take."""
    if tensor.dtype not in _DTYPES:
        raise ModelError(f"{name} is of type {tensor.dtype}, which no evaluation takes")
    return _DTYPES[tensor.dtype]


_DTYPES = {
    **{torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"},
    **{torch.complex64: "C64", torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8"},
    **{torch.uint64: "U64", torch.uint32: "U32", torch.uint16: "U16", torch.uint8: "U8", torch.bool: "BOOL"},
}


def _covered(spans: set[tuple[int, int]]) -> int:
    """The length of the union of half-open spans."""
    total = reached = 0
    for start, end in sorted(spans):
        total += max(0, end - max(start, reached))
        reached = max(reached, end)
    return total
