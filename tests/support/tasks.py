"""A task whose tests are real, but take a few seconds."""

from __future__ import annotations

from pathlib import Path

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
eval_iters = 2
eval_tokens = 8192
audit_samples = 256
certificate_tokens = 2048
[[scales.smoke.stages]]
label = "gpt-smoke"
script = "train.sh"
role = "train"
timeout_s = 100
"""
TRAIN = (Path(__file__).parent / "train.sh").read_text()
"""A stage's script. One process and no downstream tasks: most of a short test goes into starting what imports torch."""


SHORT = """\
id = "short"
title = "The smoke scale with its two processes and all its stages, in fewer iterations"
template = "custom_pretrain"
filename = "nanoGPT/custom_pretrain.py"
editable = [[22, 31], [88, 100], [245, 247]]
[scales.smoke.settings]
max_iters = 100
eval_interval = 10
eval_iters = 2
eval_tokens = 8192
audit_samples = 64
certificate_tokens = 2048
"""


def write_short_task(folder: Path) -> Path:
    """The task `short`, that of `quick` with a launcher and downstream tasks."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "task.toml").write_text(SHORT)
    (folder / "description.md").write_text("A lower validation loss, please.\n")
    return folder


def write_quick_task(folder: Path) -> Path:
    """The task `quick`, with the ranges of the built-in one about normalization."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "task.toml").write_text(QUICK)
    (folder / "train.sh").write_text(TRAIN)
    (folder / "description.md").write_text("A lower validation loss, please.\n")
    return folder
