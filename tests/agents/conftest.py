"""A service that really runs tests, on a task of a few iterations, and what an agent does there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.service import Serve, Server

QUICK = """\
id = "quick"
title = "Normalization, a few iterations"
template = "custom_pretrain"
filename = "nanoGPT/custom_pretrain.py"
editable = [[22, 31], [88, 100], [245, 247]]
[scales.smoke]
world_size = 1
[scales.smoke.settings]
max_iters = 30
eval_interval = 10
eval_tokens = 4096
[[scales.smoke.stages]]
label = "gpt-smoke"
script = "train.sh"
role = "train"
timeout_s = 100
"""
# One process and no downstream tasks: most of a short test goes into starting processes that import torch.
TRAIN = """\
export OMP_NUM_THREADS=1 TORCH_CPP_LOG_LEVEL=ERROR RANK=0 WORLD_SIZE=1 MASTER_ADDR=127.0.0.1 MASTER_PORT=0
exec python "$SCRIPT"
"""


@pytest.fixture(scope="module")
def local_arguments(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """`ringfence serve` options: the task `quick`, tests as processes, and data that is made once."""
    folder = tmp_path_factory.mktemp("quick")
    (folder / "task.toml").write_text(QUICK)
    (folder / "train.sh").write_text(TRAIN)
    (folder / "description.md").write_text("A lower validation loss, please.\n")
    data = tmp_path_factory.mktemp("data")
    return ("--runner", "local", "--slots", "2", "--tasks", str(folder), "--data", str(data))


@pytest.fixture(scope="module")
def local(serve_shared: Serve, local_arguments: tuple[str, ...]) -> Server:
    """One such service for all tests of a module."""
    return serve_shared(*local_arguments)
