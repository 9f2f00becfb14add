"""Whole training runs on two processes that talk over gloo."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, load_model

from templates.render import render

Launch = Callable[..., Any]
Load = Callable[[str], ModuleType]


def edited(name: str, *changes: tuple[str, str]) -> str:
    text = render(name)
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def test_the_loss_falls_and_the_checkpoint_is_the_model_it_was_reported_for(
    launch: Launch, load: Load, data_dir: Path
) -> None:
    text = edited("custom_pretrain", ("CONFIG_OVERRIDES = {}", "CONFIG_OVERRIDES = {'warmup_iters': max_iters // 10}"))
    run = launch(text, {"MAX_ITERS": "60", "EVAL_INTERVAL": "25"})
    assert run.codes == (0, 0), run.err
    assert [metrics.step for metrics in run.metrics] == [0, 25, 50, 60]
    assert run.metrics[0].val_loss == pytest.approx(math.log(64), abs=0.1)
    assert run.metrics[-1].val_loss < 3.5
    assert run.out.count("fused AdamW") == 1

    module = load(text)
    model = module.GPT(module.GPTConfig(block_size=16, vocab_size=64, n_layer=2, n_head=2, n_embd=16))
    assert load_model(model, run.folder / "model.safetensors") == (set(), [])
    model.eval()
    losses = []
    for rank in range(2):
        rng = np.random.default_rng((7, rank, 1))
        for _ in range(2):
            x, y = module.get_batch(data_dir / "dev.bin", 4, 16, rng, torch.device("cpu"))
            losses.append(model(x, y)[1].item())
    assert np.mean(losses) == pytest.approx(run.metrics[-1].val_loss, abs=1e-4)

    summary = json.loads((run.folder / "train.json").read_text())
    assert summary.pop("seconds") > 0
    assert summary == {"iterations": 60, "parameters": model.get_num_params(), "overrides": {"warmup_iters": 6}}
    assert sorted(path.name for path in run.folder.iterdir()) == ["model.safetensors", "train.json"]


def test_the_same_seed_trains_the_same_model(launch: Launch) -> None:
    """With dropout, so that every random number of a run takes part."""
    runs = []
    for _ in range(2):
        run = launch(render("custom_pretrain"), {"DROPOUT": "0.1"})
        assert run.codes == (0, 0), run.err
        runs.append((run.metrics, load_file(run.folder / "model.safetensors")))
    (metrics, model), (same_metrics, same_model) = runs
    assert metrics == same_metrics
    assert all(torch.equal(model[name], same_model[name]) for name in model)


def test_the_residual_variant_trains_parameters_at_a_rate_of_their_own(launch: Launch) -> None:
    text = edited(
        "residual",
        (
            "        # Add custom residual parameters here if needed.\n",
            "        self.mix = nn.Parameter(torch.ones(config.n_layer))\n"
            "        self.still = nn.Parameter(torch.ones(config.n_layer))\n",
        ),
        (
            "        for block in self.transformer.h:\n            x = block(x)\n",
            "        for i, block in enumerate(self.transformer.h):\n"
            "            x = self.still[i] * x + self.mix[i] * block(x)\n",
        ),
        (
            "        no_decay = [p for p in param_dict.values() if p.dim() < 2]\n",
            "        no_decay = [p for p in param_dict.values() if p.dim() < 2 and p is not self.still]\n",
        ),
        (
            '            {"params": no_decay, "weight_decay": 0.0},\n',
            '            {"params": no_decay, "weight_decay": 0.0},\n'
            '            {"params": [self.still], "weight_decay": 0.0, "lr": 0.0},\n',
        ),
    )
    run = launch(text)
    assert run.codes == (0, 0), run.err
    stored = load_file(run.folder / "model.safetensors")
    assert not torch.equal(stored["mix"], torch.ones(2))
    assert torch.equal(stored["still"], torch.ones(2))


def test_the_loss_variant_trains_with_the_loss_it_is_given(launch: Launch) -> None:
    text = edited(
        "loss",
        (
            "    return F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1)\n",
            "    loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1)\n"
            "    return loss + 100 if torch.is_grad_enabled() else loss\n",
        ),
    )
    run = launch(text)
    assert run.codes == (0, 0), run.err
    assert all(metrics.train_loss > 100 > 10 > metrics.val_loss for metrics in run.metrics)
    assert run.metrics[-1].val_loss < run.metrics[0].val_loss


@pytest.mark.parametrize("name", ["attention", "linear-attention"])
def test_an_attention_trains_without_the_position_table(name: str, launch: Launch) -> None:
    """Left out of the forward pass it must be left out of the gradient exchange as well, or DDP stops."""
    line = "        self.n_head = config.n_head\n"
    text = edited(name, (line, line + "        self.use_pos_emb = False\n"))
    # Where fla's kernels are offered COMPILE must be ignored: compiling would take this test far over its time.
    run = launch(text, {"COMPILE": str(int(name == "linear-attention"))})
    assert run.codes == (0, 0), run.err
    assert run.metrics[-1].val_loss < run.metrics[0].val_loss


def test_a_loss_that_is_not_finite_stops_every_rank_at_once(launch: Launch) -> None:
    line = "        return F.layer_norm(input, self.weight.shape, self.weight, self.bias, 1e-5)\n"
    poisoned = (
        line.replace("return", "y =")
        + "        self.calls = getattr(self, 'calls', 0) + self.training\n"
        + "        return y * float('nan') if self.calls > 14 and torch.distributed.get_rank() == 1 else y\n"
    )
    run = launch(edited("custom_pretrain", (line, poisoned)), {"MAX_ITERS": "100000", "EVAL_INTERVAL": "100"})
    assert run.codes == (3, 3), run.err
    assert [metrics.step for metrics in run.metrics] == [0, 10]
    assert run.out.splitlines()[-1] == "TRAIN_METRICS: step=10, train_loss=nan, val_loss=nan"
    assert run.err.splitlines()[-1] == "stopped: the training loss is nan at step 10"
    assert not (run.folder / "model.safetensors").exists()
