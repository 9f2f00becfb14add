"""How many parameters a script's model has, counted without training it and without the memory it would take."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import torch

from runner.inside.faults import AgentFault, SetupFault
from runner.inside.model_worker.model import ModelError, build_model
from runner.inside.settings import read_model_settings


def count_script(env: Mapping[str, str], folder: Path) -> int:
    """Parameters of the model that the script in `folder` builds at the settings in `env`.

    Raises AgentFault for a script that builds none, SetupFault for settings.
    """
    settings = read_model_settings(env)
    name = env.get("SCRIPT", "")
    if not name:
        raise SetupFault("SCRIPT", "not set")
    try:
        with torch.device("meta"):  # shapes without contents
            return count_elements(build_model(folder / name, settings))
    except ModelError as error:
        raise AgentFault(str(error)) from error


def count_elements(model: torch.nn.Module) -> int:
    """What a safetensors checkpoint of `model` holds: persistent buffers included, shared memory once, a number of
    eight bytes as two."""
    spans: dict[tuple[int, int], set[tuple[int, int]]] = defaultdict(set)
    for tensor in model.state_dict().values():
        # Tensors without contents have no address: the storage object itself tells which of them share one.
        shared = tensor.untyped_storage()._cdata, max(1, tensor.element_size() // 4)
        start = tensor.storage_offset()
        spans[shared].add((start, start + tensor.numel()))
    return sum(weight * _covered(shared) for (_, weight), shared in spans.items())


def _covered(spans: set[tuple[int, int]]) -> int:
    """The length of the union of half-open spans."""
    total = reached = 0
    for start, end in sorted(spans):
        total += max(0, end - max(start, reached))
        reached = max(reached, end)
    return total
