"""A training script in miniature, with a range of every kind the tasks use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from env.document import Document
from env.fence import check_source

KEYS = ("learning_rate", "weight_decay", "warmup_iters", "min_lr", "grad_clip")

_FIXED = [
    '''\
"""A small GPT."""

import math
import inspect
from dataclasses import dataclass

import torch
import torch.nn as nn
from torch.nn import functional as F

# ── Normalization
''',
    """\
# ── Attention
class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.scale = 1.0 / math.sqrt(config.width)

    def forward(self, x):
        return F.scaled_dot_product_attention(x, x, x, scale=self.scale)

# ── Block
""",
    """\
@dataclass
class Config:
    width: int = 64
    depth: int = 2

class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.depth)])
        self.ln_f = LayerNorm(config.width, bias=False)
""",
    """\
        self.apply(self._init_weights)

    def _init_weights(self, module):
        if isinstance(module, nn.Linear):
            torch.nn.init.normal_(module.weight)

    def forward(self, x, targets=None):
        x = self.embed(x)
        if targets is None:
            pass
""",
    """\
        x = self.ln_f(x)
        loss = F.cross_entropy(x, targets)
        return x, loss

""",
    """\
    def generate(self, x):
        return self(x)

def get_lr(it, learning_rate, max_iters):
    try:
        return learning_rate * it / max_iters
    except ZeroDivisionError:
        return 0.0

def train():
    max_iters = 100
    learning_rate = 1e-3
    settings = {"learning_rate": learning_rate}
""",
    """\
    settings |= CONFIG_OVERRIDES
    model = GPT(Config())
    optimizer = model.configure_optimizers(0.1)
    for it in range(max_iters):
        print(it, get_lr(it, settings["learning_rate"], max_iters), len(settings))

if __name__ == "__main__":
    train()
""",
]

_EDITABLE = {
    "norm": """\
class LayerNorm(nn.Module):
    def __init__(self, ndim, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(ndim))

    def forward(self, x):
        return F.layer_norm(x, self.weight.shape, self.weight)

""",
    "block": """\
class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.ln = LayerNorm(config.width, bias=False)
        self.attn = Attention(config)

    def forward(self, x):
        return x + self.attn(self.ln(x))

""",
    "init": """\
        # ── Residual parameters
        # none by default
""",
    "loop": """\
        # ── Residual stream
        for block in self.blocks:
            x = block(x)
""",
    "optimizer": """\
    def configure_optimizers(self, weight_decay):
        params = list(self.parameters())
        use_fused = "fused" in inspect.signature(torch.optim.AdamW).parameters
        return torch.optim.AdamW(params, weight_decay=weight_decay, fused=use_fused)

""",
    "overrides": """\
    # CONFIG_OVERRIDES: settings of your method.
    CONFIG_OVERRIDES = {}
""",
}


def _fenced(*parts: str) -> Document:
    """A document of fixed and editable texts in turn, beginning and ending with a fixed one."""
    lines, ranges = 0, []
    for index, part in enumerate(parts):
        count = part.count("\n")
        if index % 2:
            ranges.append((lines + 1, lines + count))
        lines += count
    return Document.open("pkg/script.py", "".join(parts), ranges)


@dataclass(frozen=True)
class Script:
    original: Document
    editable: dict[str, str]

    def edited(self, **texts: str) -> Document:
        """With another text in some ranges; `<own>` in it stands for the original one."""
        document = self.original
        for name, text in texts.items():
            text = text.replace("<own>", self.editable[name])
            lines = text.removesuffix("\n").split("\n") if text else []
            document = document.with_segment(list(self.editable).index(name), tuple(lines))
        return document

    def check(self, **texts: str) -> None:
        check_source(self.original, self.edited(**texts), override_keys=KEYS)


@pytest.fixture(scope="session")
def script() -> Script:
    """The ranges are norm 12–19, block 30–38, init 50–51, loop 62–64, optimizer 69–73 and overrides 87–88."""
    pairs = zip(_FIXED, _EDITABLE.values(), strict=False)
    return Script(_fenced(*(text for pair in pairs for text in pair), _FIXED[-1]), _EDITABLE)


@pytest.fixture(scope="session")
def fenced() -> Callable[..., Document]:
    return _fenced
