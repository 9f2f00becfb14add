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


PROXIED = (
    QUICK.replace('"quick"', '"proxied"').replace("[scales.smoke]\n", '[scales.smoke]\nprobe = "tiny"\n')
    + """\
[scales.tiny]
summary = "One layer, and half as many iterations."
world_size = 1
memory_mb = 4096
max_parameters = 125000
data = { DATA_DIR = "smoke/train" }
evaluation_data = { EVAL_DATA_DIR = "smoke/heldout" }
[scales.tiny.settings]
n_layer = 1
n_head = 2
n_embd = 64
block_size = 64
vocab_size = 256
dropout = 0.0
bias = false
tokenizer = "bytes"
max_iters = 15
batch_size = 8
grad_accum = 2
learning_rate = 0.003
weight_decay = 0.1
beta1 = 0.9
beta2 = 0.95
grad_clip = 1.0
eval_interval = 5
eval_iters = 2
seed = 42
device = "cpu"
dtype = "float32"
compile = false
eval_tokens = 8192
audit_samples = 256
certificate_tokens = 2048
request_timeout_s = 30
[[scales.tiny.stages]]
label = "gpt-tiny"
script = "train.sh"
role = "train"
timeout_s = 100
"""
)


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


def write_proxied_task(folder: Path, probes: int = 6) -> Path:
    """The task `proxied`: that of `quick` with probes, which run at a smaller scale of its own, `tiny`."""
    write_quick_task(folder)
    (folder / "task.toml").write_text(
        PROXIED.replace("[scales.smoke]", f"[budget]\nprobes = {probes}\n[scales.smoke]", 1)
    )
    return folder
