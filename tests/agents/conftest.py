"""A service that really runs tests, on a task of a few iterations, and what an agent does there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Server

QUICK = """\
id = "quick"
title = "Normalization, a few iterations"
template = "custom_pretrain"
filename = "nanoGPT/custom_pretrain.py"
editable = [[22, 31], [88, 100], [245, 247]]
[scales.smoke.settings]
max_iters = 30
eval_interval = 10
eval_tokens = 4096
"""


@pytest.fixture(scope="module")
def local_arguments(tmp_path_factory: pytest.TempPathFactory, smoke_data: Path) -> tuple[str, ...]:
    """`ringfence serve` options: the task `quick`, tests as processes, and data that is made once."""
    folder = tmp_path_factory.mktemp("quick")
    (folder / "task.toml").write_text(QUICK)
    (folder / "description.md").write_text("A lower validation loss, please.\n")
    return ("--runner", "local", "--slots", "2", "--tasks", str(folder), "--data", str(smoke_data))


@pytest.fixture(scope="module")
def local(serve_shared: Callable[..., Server], local_arguments: tuple[str, ...]) -> Server:
    """One such service for all tests of a module."""
    return serve_shared(*local_arguments)
