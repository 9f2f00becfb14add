"""Which attention counts as sub-quadratic: the task's baselines do, the file as it is and its relatives do not."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch

from runner.inside.judge.cost_growth import LENGTHS, CostGrowth, growth_of
from runner.inside.model_worker.operations import OperationCount
from runner.inside.settings import ModelSettings
from tests.baselines.conftest import TASKS, script

TASK = TASKS["llm-pretrain-linear-attention"]
SMOKE, WIDE = (2, 2, 64), (2, 16, 1024)
"""Layers, heads and width: of the smoke scale, and as wide as gpt-345m."""
PRODUCTS = """\
        q, k, v = self.c_attn(x).split(self.n_embd, dim=2)
        q, k, v = self.split_heads(q), self.split_heads(k), self.split_heads(v)
"""
ONE_LAYER = """\
        y = v.cumsum(2) / (1 + torch.arange(x.size(1))[:, None])
        if self.full:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
"""
ONE_HEAD = """\
        y = v.cumsum(2) / (1 + torch.arange(x.size(1))[:, None])
        y = torch.cat((F.scaled_dot_product_attention(q[:, :1], k[:, :1], v[:, :1], is_causal=True), y[:, 1:]), dim=1)
"""
WRITTEN_OUT = """\
        scores = (q @ k.transpose(-2, -1) / self.head_dim ** 0.5)
        scores = scores.masked_fill(torch.ones(x.size(1), x.size(1)).triu(1).bool(), float("-inf"))
        y = scores.softmax(-1) @ v
"""
NO_SOFTMAX = """\
        y = (F.elu(q) + 1) @ (F.elu(k) + 1).transpose(-2, -1)
        y = y.tril() @ v
"""
IN_TILES = """\
        rows = []
        for end in range(64, x.size(1) + 64, 64):
            parts = [q[:, :, end - 64 : end] @ k[:, :, at : at + 64].transpose(-2, -1) for at in range(0, end, 64)]
            rows.append(torch.cat(parts, dim=-1).softmax(-1) @ v[:, :, :end])
        y = torch.cat(rows, dim=2)
"""
BY_ELEMENTS = """\
        y = torch.tanh(q[:, :, :, None, :4] + k[:, :, None, :, :4]).sum(-1).tril() @ v
"""
WINDOW_BY_MASK = """\
        far = torch.ones(x.size(1), x.size(1)).tril().bool() & torch.ones(x.size(1), x.size(1)).triu(-64).bool()
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=far)
"""
LOCAL = """\
        width = {width}
        def blocks(t):
            return F.pad(t, (0, 0, 0, -t.size(2) % width)).unflatten(2, (-1, width))
        q, k, v = blocks(q), blocks(k), blocks(v)
        k, v = (torch.cat((F.pad(t, (0, 0, 0, 0, 1, 0))[:, :, :-1], t), dim=3) for t in (k, v))
        y = F.scaled_dot_product_attention(q, k, v).flatten(2, 3)[:, :, : x.size(1)]
"""
CONVOLUTION = """\
        n = 2 * x.size(1)
        taps = torch.fft.rfft(self.taps[: x.size(1)], n=n, dim=0).T
        y = torch.fft.irfft(torch.fft.rfft(v, n=n, dim=2) * taps.T[:, : self.head_dim], n=n, dim=2)[:, :, : x.size(1)]
"""
STEP_BY_STEP = """\
        state, steps = v.new_zeros(*v.shape[:2], self.head_dim, self.head_dim), []
        for t in range(x.size(1)):
            state = 0.9 * state + k[:, :, t, :, None] * v[:, :, t, None]
            steps.append((q[:, :, t, None] @ state)[:, :, 0])
        y = torch.stack(steps, dim=2)
"""
QUADRATIC = {
    "in one layer of four": ONE_LAYER,
    "in one head": ONE_HEAD,
    "written out": WRITTEN_OUT,
    "without softmax": NO_SOFTMAX,
    "in tiles": IN_TILES,
    "by elements": BY_ELEMENTS,
    "a window by a mask over everything": WINDOW_BY_MASK,
}
PADDED = {
    "a chunk as long as the context": LOCAL.format(width=512),
    "everything": """\
        q, k, v = (F.pad(t, (0, 0, 0, 1024 - x.size(1))) for t in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)[:, :, : x.size(1)]
""",
}
LINEAR = {
    "local": LOCAL.format(width=64),
    "a window of 256": LOCAL.format(width=128),
    "a long convolution": CONVOLUTION,
    "step by step": STEP_BY_STEP,
}


def mixing(lines: str) -> str:
    """The task's file with other lines between its projections."""
    start = TASK.text.index(PRODUCTS) + len(PRODUCTS)
    end = TASK.text.index("        y = self.merge_heads(y)\n")
    text = TASK.text[:start] + lines + TASK.text[end:]
    extras = """\
        self.full = not hasattr(nn, "_met")
        nn._met = True
        self.taps = nn.Parameter(torch.randn(1024, self.head_dim))
"""
    line = "        self.head_dim = config.n_embd // config.n_head\n"
    return text.replace(line, line + extras, 1)


def growth(module: ModuleType, shape: tuple[int, int, int]) -> CostGrowth:
    layers, heads, width = shape
    settings: dict[str, Any] = {
        "n_layer": layers, "n_head": heads, "n_embd": width, "vocab_size": 256, "bias": False
    }  # fmt: skip
    model = module.GPT(module.GPTConfig(block_size=LENGTHS[-1], **settings)).eval()
    counted = []
    for length in LENGTHS:
        with torch.no_grad(), OperationCount() as count:
            model(torch.randint(256, (1, length)))
        counted.append(float(count.operations))
    about = ModelSettings(**settings, block_size=LENGTHS[-1], seed=1, device="cpu", dtype="float32")
    return growth_of(counted, about, trained=True)


@pytest.mark.parametrize("shape", [SMOKE, WIDE], ids=["smoke", "wide"])
@pytest.mark.parametrize("baseline", [baseline.name for baseline in TASK.baselines])
def test_every_baseline_is_subquadratic(
    baseline: str, shape: tuple[int, int, int], load: Callable[[str], ModuleType]
) -> None:
    found = growth(load(script(TASK, baseline).text), shape)
    assert found.subquadratic
    assert found.beside_softmax == pytest.approx(0, abs=0.005)


@pytest.mark.parametrize("shape", [SMOKE, WIDE], ids=["smoke", "wide"])
def test_the_file_as_it_is_given_is_quadratic(shape: tuple[int, int, int], load: Callable[[str], ModuleType]) -> None:
    found = growth(load(TASK.text), shape)
    assert found.subquadratic is False
    assert found.beside_softmax == pytest.approx(1, abs=0.05)
    assert found.exponent == pytest.approx(2, abs=0.01)


@pytest.mark.parametrize("name", QUADRATIC)
def test_full_attention_under_another_name_is_quadratic(name: str, load: Callable[[str], ModuleType]) -> None:
    vars(torch.nn).pop("_met", None)
    try:
        found = growth(load(mixing(QUADRATIC[name])), (4, 4, 128))
    finally:
        vars(torch.nn).pop("_met", None)
    assert found.subquadratic is False, found
    assert found.beside_softmax is not None
    assert found.beside_softmax > 0.02


@pytest.mark.parametrize("name", LINEAR)
def test_what_grows_more_slowly_is_not(name: str, load: Callable[[str], ModuleType]) -> None:
    found = growth(load(mixing(LINEAR[name])), (4, 4, 128))
    assert found.subquadratic, found


@pytest.mark.parametrize("name", PADDED)
def test_what_is_padded_to_the_context_shows_no_growth_and_is_told_so(
    name: str, load: Callable[[str], ModuleType]
) -> None:
    found = growth(load(mixing(PADDED[name])), (4, 4, 128))
    assert found.subquadratic is None
    assert "cost as much as much longer ones" in found.why_not


def test_a_count_that_cannot_be_is_no_measurement() -> None:
    about = ModelSettings(
        n_layer=2, n_head=2, n_embd=64, block_size=64, vocab_size=256, bias=False, seed=1, device="cpu", dtype="float32"
    )
    for count in (0.0, float("nan"), float("inf"), 2.0 * 64 * 256 * 100):
        found = growth_of([count, count, count], about, trained=False)
        assert found.subquadratic is None
        assert "fewer operations" in found.why_not
