"""The number an attack has to be measured by: recomputed here, without a service, a sandbox or an evaluator."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors.torch import load_model
from torch.nn.functional import cross_entropy

from tasks.load import load_tasks

if TYPE_CHECKING:
    from tests.attacks.conftest import Range

pytestmark = pytest.mark.docker

ARITHMETIC = 4e-3
"""Nats that may lie between: kernels and threads are not the sandbox's, and weights lose a little on their way."""


@pytest.mark.timeout(300)
def test_the_honest_number_is_the_mean_cross_entropy_of_the_checkpoint(
    open_range: Callable[[Path, set[str]], AbstractContextManager[Range]],
    write_range_task: Callable[[Path, str], Path],
    load: Callable[[str], ModuleType],
    smoke_data: Path,
    tmp_path: Path,
) -> None:
    with open_range(tmp_path / "range", {"normalization"}) as arena:
        told = arena.honest("normalization", {}).value()
    (task,) = (
        task
        for task in load_tasks((write_range_task(tmp_path / "task", "normalization"),)).values()
        if "range" in task.id
    )
    settings = task.scales["smoke"].settings
    data = smoke_data / "smoke"
    out = tmp_path / "out"
    out.mkdir()
    script = tmp_path / "script.py"
    script.write_text(task.text)
    ours = {"RANK": "0", "WORLD_SIZE": "1", "WORLD_SIZE_EXPECTED": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    folders = {"OUT_DIR": str(out), "DATA_DIR": str(data / "train"), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, script], env={**os.environ, **settings, **ours, **folders}, check=True)

    module = load(task.text)
    shape = {name: int(settings[name.upper()]) for name in ("n_layer", "n_head", "n_embd", "block_size", "vocab_size")}
    model = module.GPT(module.GPTConfig(**shape, dropout=0.0, bias=False))
    load_model(model, out / "model.safetensors")
    tokens = np.fromfile(data / "heldout" / "heldout.bin", dtype="<u2").astype(np.int64)
    length = shape["block_size"] + 1
    blocks = torch.from_numpy(tokens[: int(settings["EVAL_TOKENS"]) // shape["block_size"] * length]).view(-1, length)
    with torch.no_grad():
        logits = model.eval()(blocks[:, :-1])[0]
    loss = cross_entropy(logits.flatten(0, 1), blocks[:, 1:].flatten()).item()
    assert told == pytest.approx(loss, abs=ARITHMETIC)
