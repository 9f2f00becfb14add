"""The model and the small functions, imported as an evaluator's worker imports them."""

import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_model, save_model

from templates.render import names, render

Load = Callable[[str], ModuleType]


def build(module: ModuleType, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return module.GPT(module.GPTConfig(block_size=16, vocab_size=64, n_layer=2, n_head=2, n_embd=16)).eval()


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randint(64, (3, 16), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", names())
def test_every_variant_starts_as_the_base_does(name: str, load: Load, tokens: torch.Tensor) -> None:
    logits, loss = build(load(render(name)))(tokens, tokens)
    base_logits, base_loss = build(load(render("custom_pretrain")))(tokens, tokens)
    assert torch.equal(logits, base_logits)
    assert torch.equal(loss, base_loss)


@pytest.mark.parametrize("name", names())
def test_logits_come_for_every_position_and_the_loss_only_with_targets(
    name: str, load: Load, tokens: torch.Tensor
) -> None:
    model = build(load(render(name)))
    logits, loss = model(tokens)
    assert logits.shape == (3, 16, 64)
    assert loss is None
    targets = torch.full_like(tokens, -1)
    targets[0, 5] = 9
    _, loss = model(tokens, targets)
    assert loss.item() == pytest.approx(-logits.log_softmax(-1)[0, 5, 9].item(), abs=1e-5)


@pytest.mark.parametrize("name", names())
def test_no_position_sees_what_follows_it(name: str, load: Load, tokens: torch.Tensor) -> None:
    model = build(load(render(name)))
    changed = tokens.clone()
    changed[:, 9:] = (changed[:, 9:] + 1) % 64
    before, after = model(tokens)[0], model(changed)[0]
    assert torch.equal(before[:, :9], after[:, :9])
    assert not torch.equal(before[:, 9:], after[:, 9:])


@pytest.mark.parametrize("name", names())
def test_a_checkpoint_makes_another_model_the_same(name: str, load: Load, tokens: torch.Tensor, tmp_path: Path) -> None:
    module = load(render(name))
    model, other = build(module, seed=1), build(module, seed=2)
    assert not torch.equal(model(tokens)[0], other(tokens)[0])
    save_model(model, str(tmp_path / "model.safetensors"))
    assert load_model(other, tmp_path / "model.safetensors") == (set(), [])
    assert torch.equal(model(tokens)[0], other(tokens)[0])


def test_weights_begin_as_in_gpt_2(load: Load) -> None:
    module = load(render("custom_pretrain"))
    torch.manual_seed(0)
    model = module.GPT(module.GPTConfig(block_size=64, vocab_size=256, n_layer=8, n_head=2, n_embd=64, bias=True))
    block = model.transformer.h[0]
    assert model.lm_head.weight is model.transformer.wte.weight
    assert model.lm_head.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert block.mlp.c_fc.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert block.mlp.c_proj.weight.std().item() == pytest.approx(0.02 / math.sqrt(16), rel=0.05)
    assert block.mlp.c_proj.bias.abs().max().item() == 0
    assert model.get_num_params() == sum(p.numel() for p in model.parameters()) - 64 * 64


@pytest.mark.parametrize("name", ["attention", "linear-attention"])
def test_an_attention_can_do_without_position_embeddings(name: str, load: Load, tokens: torch.Tensor) -> None:
    line = "        self.n_head = config.n_head\n"
    text = render(name).replace(line, f"{line}        self.use_pos_emb = False\n")
    model = build(load(text))
    before = model(tokens)[0]
    torch.nn.init.ones_(model.transformer.wpe.weight)
    assert torch.equal(model(tokens)[0], before)
    assert not model.transformer.wpe.weight.requires_grad


def test_only_matrices_decay(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    model = build(load(render("custom_pretrain")))
    optimizer = model.configure_optimizers(0.3, 0.1, (0.9, 0.95), "cpu")
    decayed, rest = optimizer.param_groups
    assert (decayed["weight_decay"], rest["weight_decay"]) == (0.3, 0.0)
    assert {p.dim() for p in decayed["params"]} == {2}
    assert {p.dim() for p in rest["params"]} == {1}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(model.parameters()))
    assert "parameters decayed: 7,424 in 10 tensors" in capsys.readouterr().out


def test_the_rate_warms_up_and_then_follows_a_cosine(load: Load) -> None:
    get_lr = load(render("custom_pretrain")).get_lr
    rates = [get_lr(it, 1.0, 0.1, 10, 110) for it in range(111)]
    assert rates[:11] == pytest.approx([(it + 1) / 11 for it in range(11)])
    assert rates[60] == pytest.approx(0.55)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[110] == 0.1
    assert get_lr(0, 1.0, 0.1, 500, 110) == pytest.approx(1 / 501)  # a warm-up longer than the run


def test_a_batch_holds_stretches_of_the_file_and_what_follows_them(load: Load, tmp_path: Path) -> None:
    module = load(render("custom_pretrain"))
    path = tmp_path / "train.bin"
    np.arange(1000, 1034).astype("<u2").tofile(path)
    x, y = module.get_batch(path, 200, 32, np.random.default_rng(0), torch.device("cpu"))
    assert x.shape == y.shape == (200, 32)
    assert x.dtype == torch.int64
    assert torch.equal(x + 1, y)
    assert set(x[:, 0].tolist()) == {1000, 1001}  # every place a whole stretch fits, and no other
    assert x.is_contiguous()
    assert y.is_contiguous()


def test_importing_the_script_does_nothing(load: Load, capfd: pytest.CaptureFixture[str]) -> None:
    state = torch.get_rng_state()
    load(render("custom_pretrain"))
    assert torch.equal(torch.get_rng_state(), state)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ("{'max_iters': 10}", "'max_iters': 10"),
        ("{'learning_rate': -1e-3}", "'learning_rate': -0.001"),
        ("{'learning_rate': float('nan')}", "'learning_rate': nan"),
        ("{'min_lr': float('inf')}", "'min_lr': inf"),
        ("{'grad_clip': True}", "'grad_clip': True"),
        ("{'weight_decay': '0.1'}", "'weight_decay': '0.1'"),
    ],
)
@pytest.mark.usefixtures("tiny_environment")
def test_an_override_that_is_not_allowed_is_refused(overrides: str, named: str, load: Load) -> None:
    text = render("custom_pretrain").replace("    CONFIG_OVERRIDES = {}\n", f"    CONFIG_OVERRIDES = {overrides}\n")
    with pytest.raises(SystemExit) as caught:
        load(text).train()
    message = str(caught.value)
    assert message.startswith(f"CONFIG_OVERRIDES has {named}. ")
    assert "learning_rate, weight_decay, warmup_iters, min_lr, grad_clip; each value must be a finite number" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("WORLD_SIZE", "1", "1 processes were started, but this run is made for 2"),
        ("WORLD_SIZE_EXPECTED", "3", "2 processes were started, but this run is made for 3"),
        ("GRAD_ACCUM", "3", "GRAD_ACCUM=3 micro-batches cannot be shared by 2 processes"),
        ("MAX_ITERS", None, "MAX_ITERS is None in the environment: expected int of at least 1"),
        ("MAX_ITERS", "0", "MAX_ITERS is '0' in the environment: expected int of at least 1"),
        ("BATCH_SIZE", "1.5", "BATCH_SIZE is '1.5' in the environment: expected int of at least 1"),
        ("LEARNING_RATE", "nan", "LEARNING_RATE is 'nan' in the environment: expected float of at least 0"),
        ("DTYPE", "int8", "DTYPE is 'int8' in the environment: expected one of bfloat16, float32"),
        ("BIAS", "yes", "BIAS is 'yes' in the environment: expected one of 0, 1"),
        ("DATA_DIR", "no/such/folder", "DATA_DIR is 'no/such/folder' in the environment: expected a folder"),
        ("BLOCK_SIZE", "20000", "train.bin is too short for a block of 20000 tokens of two bytes each"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_in_one_line(
    name: str, value: str | None, message: str, load: Load, tiny_environment: pytest.MonkeyPatch
) -> None:
    if value is None:
        tiny_environment.delenv(name)
    else:
        tiny_environment.setenv(name, value)
    with pytest.raises(SystemExit) as caught:
        load(render("custom_pretrain")).train()
    assert str(caught.value) == message
