"""What holds for every baseline: it could be an agent's edit, and it trains."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_model, save_model

from env.fence import check_source
from runner.inside.judge.checkpoint import open_checkpoint
from runner.inside.model_worker.parameter_count import count_elements

if TYPE_CHECKING:
    from tests.baselines.conftest import Script


Load = Callable[[str], ModuleType]
Build = Callable[..., Any]


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randint(48, (3, 24), generator=torch.Generator().manual_seed(0))


def test_it_is_an_edit_that_the_fence_lets_pass(case: Script) -> None:
    check_source(case.original, case.edited, override_keys=case.task.override_keys)
    assert case.edited.fixed == case.original.fixed
    assert max(map(len, case.edited.lines)) <= 120


def test_every_parameter_learns_and_the_loss_falls(
    case: Script, load: Load, build: Build, tokens: torch.Tensor
) -> None:
    model = build(load(case.text))
    optimizer = model.configure_optimizers(0.1, 1e-2, (0.9, 0.95), "cpu")
    trained = [p for p in model.parameters() if p.requires_grad]
    grouped = [p for group in optimizer.param_groups for p in group["params"]]
    assert len(grouped) == len(trained)
    assert {id(p) for p in grouped} == {id(p) for p in trained}
    before = [p.detach().clone() for p in trained]
    losses = []
    for _ in range(8):
        loss = model(tokens[:, :-1], tokens[:, 1:].contiguous())[1]
        loss.backward()
        without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
        assert not without, "DDP stops when a parameter takes no part in the loss"
        assert all(p.grad.isfinite().all() for p in trained)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
    assert all(map(math.isfinite, losses))
    assert losses[-1] < losses[0] - 0.1
    still = [p.shape for p, old in zip(trained, before, strict=True) if torch.equal(p, old)]
    assert still == UNMOVED.get(case.name, [])


# The first branch reads the one source there is, whatever its query asks for.
UNMOVED = {"attention_residuals": [torch.Size([32])]}


def test_no_position_sees_what_follows_it_or_another_row(
    case: Any, load: Load, build: Build, tokens: torch.Tensor
) -> None:
    model = trained_a_little(build(load(case.text)), tokens)
    changed = tokens.clone()
    changed[:, 9:] = (changed[:, 9:] + 1) % 48
    with torch.no_grad():
        before, after, alone = model(tokens)[0], model(changed)[0], model(tokens[1:2])[0]
        short = model(tokens[:, :7])[0]
    torch.testing.assert_close(after[:, :9], before[:, :9], rtol=0, atol=1e-5)
    assert (after[:, 9:] - before[:, 9:]).abs().amax(dim=-1).min() > 1e-3
    torch.testing.assert_close(alone, before[1:2], rtol=0, atol=1e-5)
    torch.testing.assert_close(short, before[:, :7], rtol=0, atol=1e-5)


def test_a_checkpoint_gives_the_same_model_again(
    case: Any, load: Load, build: Build, tokens: torch.Tensor, tmp_path: Path
) -> None:
    module = load(case.text)
    model, fresh = trained_a_little(build(module), tokens), build(module, seed=1).eval()
    path = tmp_path / "model.safetensors"
    save_model(model, path)
    assert load_model(fresh, path) == (set(), [])
    with torch.no_grad():
        assert torch.equal(model(tokens)[0], fresh(tokens)[0])
    # Of tied weights' names, which are charged too, one is stored: maybe a shorter one than what was counted.
    assert 0 <= count_elements(model) - open_checkpoint(path).parameters < len("transformer.wte.weight")
    with torch.device("meta"):
        assert count_elements(build(module)) == count_elements(model)


def trained_a_little(model: Any, tokens: torch.Tensor) -> Any:
    """A few steps from the initial values, in which some parts are still silent."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        model(tokens[:, :-1], tokens[:, 1:].contiguous())[1].backward()
        optimizer.step()
    return model.eval()
