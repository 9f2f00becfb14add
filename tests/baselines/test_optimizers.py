"""The optimizers' updates, by hand."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch

Named = Callable[[str, str], ModuleType]
Build = Callable[..., Any]


def one_step(model: Any, optimizer: Any) -> dict[str, tuple[torch.Tensor, torch.Tensor, dict[str, Any]]]:
    """By name: the value before, the change, and the group's settings. Gradients are small random numbers."""
    generator = torch.Generator().manual_seed(0)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = 1e-3 * torch.randn(p.shape, generator=generator)
    optimizer.step()
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    return {name: (before[name], p.detach() - before[name], groups[id(p)]) for name, p in model.named_parameters()}


def test_lion_moves_every_element_equally_far(named: Named, build: Build) -> None:
    model = build(named("optimizer", "lion"))
    changes = one_step(model, model.configure_optimizers(0.1, 1e-2, (0.9, 0.95), "cpu"))
    for name, (before, change, group) in changes.items():
        assert (group["lr"], group["weight_decay"]) == (2e-3, 0.5 if before.dim() > 1 else 0.0), name
        moved = change + group["lr"] * group["weight_decay"] * before
        torch.testing.assert_close(moved.abs(), torch.full_like(moved, 2e-3), rtol=1e-3, atol=1e-6)


def test_muon_turns_matrices_of_the_blocks_and_leaves_the_rest_to_adam(named: Named, build: Build) -> None:
    model = build(named("optimizer", "muon"))
    changes = one_step(model, model.configure_optimizers(0.0, 1e-2, (0.9, 0.95), "cpu"))
    turned = {name for name, (_, _, group) in changes.items() if group["orthogonal"]}
    assert turned == {name for name, p in model.named_parameters() if ".h." in name and p.dim() == 2}
    assert len(turned) == 4 * 3
    for name, (before, change, group) in changes.items():
        assert group["lr"] == 1e-2
        if name in turned:
            sizes = torch.linalg.svdvals(change) / (1e-2 * 0.2 * max(before.shape) ** 0.5)
            assert sizes.min() > 0.3, name
            assert sizes.max() < 1.3, name
        else:  # Adam's first step is one learning rate long in every element
            torch.testing.assert_close(change.abs(), torch.full_like(change, 1e-2), rtol=0.01, atol=1e-4)


def test_nadam_decays_weights_and_nothing_else(named: Named, build: Build) -> None:
    model = build(named("optimizer", "adamw_nesterov"))
    optimizer = model.configure_optimizers(0.5, 1e-2, (0.9, 0.95), "cpu")
    assert type(optimizer) is torch.optim.NAdam
    before = [p.detach().clone() for p in model.parameters()]
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    for p, old in zip(model.parameters(), before, strict=True):
        torch.testing.assert_close(p.detach(), old * (1 - 1e-2 * 0.5) if p.dim() > 1 else old)
