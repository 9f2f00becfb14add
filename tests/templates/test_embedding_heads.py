"""The embedding variant with each way to give an output head, as recorded edits have given it."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, load_model

from templates.render import render

Launch = Callable[..., Any]
Load = Callable[[str], ModuleType]


def edited(body: str) -> str:
    lines = render("embedding").split("\n")
    return "\n".join([*lines[:114], "class TokenEmbedding(nn.Module):", body, *lines[140:]])


COMPUTED = edited('''
    """Low-rank tables; leaves out the optional get_value_embed."""
    def __init__(self, config):
        super().__init__()
        self.coefficients = nn.Embedding(config.vocab_size, 4)
        self.basis = nn.Parameter(torch.randn(4, config.n_embd) * 0.1)
        self.pos = nn.Embedding(config.block_size, config.n_embd)

    def forward(self, idx):
        return self.coefficients(idx) @ self.basis + self.pos.weight[: idx.size(1)]

    def get_lm_head_weight(self):
        return self.coefficients.weight @ self.basis

    def get_num_pos_params(self):
        return self.pos.weight.numel()
''')
FRESH = edited('''
    """A head that starts as a mixture of two tables and then goes its own way."""
    def __init__(self, config):
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.alt = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.block_size, config.n_embd)
        self.kept = None

    def forward(self, idx):
        self.kept = 0.1 * self.alt(idx)
        return self.wte(idx) + self.wpe.weight[: idx.size(1)]

    def get_value_embed(self, layer_idx):
        return None if self.kept is None or layer_idx != 1 else self.kept

    def get_lm_head_weight(self):
        return nn.Parameter(0.5 * (self.wte.weight + self.alt.weight))

    def get_num_pos_params(self):
        return self.wpe.weight.numel()
''')
STYLES = {"tied": render("embedding"), "computed": COMPUTED, "fresh": FRESH}


def build(module: ModuleType, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return module.GPT(module.GPTConfig(block_size=16, vocab_size=64, n_layer=2, n_head=2, n_embd=16)).eval()


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randint(32, (3, 16), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("style", "stored_head", "part"),
    [
        ("tied", False, "head (tied to the embedding) 0 0.0%"),
        ("computed", False, "head (computed from the embedding) 0 0.0%"),
        ("fresh", True, "head (on its own) 1,024 10.7%"),
    ],
    ids=["tied", "computed", "fresh"],
)
def test_every_style_trains_and_is_saved_whole(
    style: str, stored_head: bool, part: str, launch: Launch, load: Load, tokens: torch.Tensor
) -> None:
    run = launch(STYLES[style], {"MAX_ITERS": "30", "EVAL_INTERVAL": "30"})
    assert run.codes == (0, 0), run.err
    assert part in [" ".join(line.split()) for line in run.out.splitlines()]
    assert run.metrics[-1].val_loss < run.metrics[0].val_loss - 0.05
    path = run.folder / "model.safetensors"
    assert ("lm_head_weight" in load_file(path)) == stored_head  # a tied tensor is stored once, under its first name
    model, other = build(load(STYLES[style]), seed=1), build(load(STYLES[style]), seed=2)
    for each in (model, other):
        assert load_model(each, path) == (set(), [])
    assert torch.equal(model(tokens)[0], other(tokens)[0])


def test_a_computed_head_passes_its_gradients_on_at_every_step(load: Load, tokens: torch.Tensor) -> None:
    model = build(load(COMPUTED))
    for _ in range(2):  # a head kept from the first forward would have no graph left in the second
        model.zero_grad()
        model(tokens, tokens)[1].backward()
        # Tokens the input lacks are reached through the head only.
        assert model.embedding.coefficients.weight.grad[32:].abs().sum(dim=1).min() > 0


def test_a_fresh_head_starts_from_the_initialized_tables(load: Load) -> None:
    model = build(load(FRESH))
    mixture = 0.5 * (model.embedding.wte.weight + model.embedding.alt.weight)
    assert torch.equal(model.lm_head_weight, mixture)
    assert mixture.std().item() == pytest.approx(0.02 / 2**0.5, rel=0.1)


def test_a_value_embedding_enters_before_its_block(load: Load, tokens: torch.Tensor) -> None:
    model = build(load(render("embedding")))
    seen: list[torch.Tensor] = []
    model.transformer.h[1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(tokens)
    model.embedding.get_value_embed = lambda layer_idx: torch.ones(3, 16, 16) if layer_idx == 1 else None
    model(tokens)
    assert torch.equal(seen[1], seen[0] + 1)
