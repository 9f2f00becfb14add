"""How many parameters a script's model has, told without training it and without the memory it would take.

`python -P -m runner.inside.size`, in a folder that holds the script (SCRIPT), with the model settings of an evaluation
(`settings.py`) in the environment. Prints one number: what `checkpoint.py` counts in a checkpoint of the same model.
Exit status as in `evaluate.py`.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import torch

from runner.inside.faults import AgentFault, SetupFault, exit_status
from runner.inside.model import ModelError, build_model
from runner.inside.settings import read_model_settings


def main() -> None:
    print(count_script(os.environ, Path.cwd()))


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


if __name__ == "__main__":
    sys.exit(exit_status(main))
