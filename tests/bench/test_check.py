"""What a check costs an agent: seconds from the call to the answer, beside one import of torch on the same machine."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest

from tests.support.service import Serve
from tests.support.tasks import write_quick_task

REPEATS = 5
EDIT = {"op": "str_replace", "old_str": "self.bias, 1e-5)", "new_str": "self.bias, 1e-6)"}
SHAPES = {
    "smoke": "",
    "gpt-345m": "n_layer = 24\nn_head = 16\nn_embd = 1024\nblock_size = 1024\nvocab_size = 50304",
}
"""Settings of a scale that differ from those of `smoke`: no GPUs are needed to check for them."""
IMPORT = "import torch, torch._dynamo"
"""All that is large of what the script, its optimizer and our own code import."""


@dataclass(frozen=True, kw_only=True)
class Timed:
    """Seconds of wall-clock time."""

    check: float
    importing: float

    @property
    def ratio(self) -> float:
        return self.check / self.importing


@pytest.mark.parametrize("shape", SHAPES)
def test_a_check_takes_seconds(serve: Serve, tmp_path: Path, shape: str) -> None:
    timed = measure_checks(serve, tmp_path, shape=shape, repeats=1 + REPEATS)[1:]  # the first one is for warming up
    ratio = median(one.ratio for one in timed)
    print(f"a check of {shape} takes {median(one.check for one in timed):.1f} s, {ratio:.1f} imports of torch")
    assert median(one.check for one in timed) < 8
    assert ratio < 4


def measure_checks(serve: Serve, folder: Path, *, shape: str, repeats: int) -> list[Timed]:
    """Checks an edited file over HTTP, of a task in `folder` whose model has this shape at its real size."""
    measured = []
    write_quick_task(folder / "quick")
    settings, table = "[scales.smoke.settings]\n", folder / "quick" / "task.toml"
    table.write_text(table.read_text().replace(settings, f"max_parameters = 400_000_000\n{settings}{SHAPES[shape]}\n"))
    agent = serve("--runner", "local", "--tasks", str(folder / "quick")).open("quick")
    assert agent.call("edit", EDIT).status_code == 200
    for _ in range(repeats):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", IMPORT], check=True, timeout=300)
        importing = time.perf_counter() - started
        started = time.perf_counter()
        answer = agent.call("check").json()
        took = time.perf_counter() - started
        assert answer["check"]["passed"], answer["observation"]
        measured.append(Timed(check=took, importing=importing))
        print(f"one import {importing:5.2f} s   a check {took:5.2f} s")
    return measured
