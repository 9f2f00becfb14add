"""The plain forms of the linear attentions, chunk by chunk, against their definitions, step by step."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch

Named = Callable[[str, str], ModuleType]
Tensor = torch.Tensor
LENGTHS = [1, 15, 64, 150]  # within a chunk, one chunk, several with a rest


@pytest.fixture(params=LENGTHS)
def length(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def random(length: int) -> Callable[[int], Tensor]:
    """Tensors (2, length, 3, width): two rows, three heads."""
    generator = torch.Generator().manual_seed(length)
    return lambda width: torch.randn(2, length, 3, width, generator=generator, dtype=torch.float64)


def recurrent(q: Tensor, k: Tensor, v: Tensor, step: Callable[[Tensor, int], Tensor]) -> Tensor:
    """y_t = q_t S_t, with S_t = step(S_{t-1}, t), in the type of `v`."""
    state = v.new_zeros(v.size(0), v.size(2), k.size(-1), v.size(-1))
    outputs = []
    for t in range(v.size(1)):
        state = step(state, t)
        outputs.append(torch.einsum("bhk,bhkv->bhv", q[:, t], state))
    return torch.stack(outputs, dim=1)


def outer(k: Tensor, v: Tensor) -> Tensor:
    return torch.einsum("bhk,bhv->bhkv", k, v)


def close(found: Tensor, wanted: Tensor, tolerance: float = 2e-5) -> None:
    assert found.shape == wanted.shape
    scale = wanted.abs().max().item()
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=tolerance * scale)


def test_linear(named: Named, random: Any) -> None:
    q, k, v = random(5).abs(), random(5).abs(), random(4)
    wanted = recurrent(q, k, v, lambda state, t: state + outer(k[:, t], v[:, t]))
    close(named("linear-attention", "linear").linear_attention(q, k, v), wanted)


@pytest.mark.parametrize("strength", [0.05, 1.0, 5.0], ids=["weak", "strong", "strongest"])
def test_gated(strength: float, named: Named, random: Any) -> None:
    q, k, v, g = random(5), random(5), random(4), -strength * random(5).sigmoid()
    if strength == 5.0:
        g = torch.full_like(g, -5.0)

    def step(state: Tensor, t: int) -> Tensor:
        return g[:, t].exp().unsqueeze(-1) * state + outer(k[:, t], v[:, t])

    close(named("linear-attention", "gla").gated_linear_attention(q, k, v, g), recurrent(q, k, v, step))


def test_retention(named: Named, random: Any) -> None:
    q, k, v = random(6), random(6), random(4)
    kept = torch.tensor([1 - 1 / 32, 1 - 1 / 64, 1 - 1 / 128], dtype=torch.float64).view(3, 1, 1)
    wanted = recurrent(q, k, v, lambda state, t: kept * state + outer(k[:, t], v[:, t]))
    close(named("linear-attention", "retnet").retention(q, k, v), wanted)


def test_delta_rule(named: Named, random: Any) -> None:
    q, k, v, beta = random(5), torch.nn.functional.normalize(random(5), dim=-1), random(5), random(1).sigmoid()

    def step(state: Tensor, t: int) -> Tensor:
        held = torch.einsum("bhk,bhkv->bhv", k[:, t], state)
        return state + outer(k[:, t], beta[:, t] * (v[:, t] - held))

    close(named("linear-attention", "deltanet").delta_rule(q, k, v, beta[..., 0]), recurrent(q, k, v, step))


def test_rotation_makes_products_depend_on_distances_alone(named: Named) -> None:
    q, k = torch.randn(2, 1, 1, 1, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for module, time in ((named("linear-attention", "retnet"), 1), (named("attention", "rope"), 2)):
        shape = [1, 1, 1, 8]
        shape[time] = 30
        turned_q, turned_k = (module.rotated(x.expand(shape)).flatten(0, 2) for x in (q, k))
        products = turned_q @ turned_k.T
        for distance in (0, 3, 11):
            along = products.diagonal(distance)
            torch.testing.assert_close(along, along[:1].expand_as(along), rtol=0, atol=1e-5)
        assert (products[0, :12] - products[0, 0]).abs()[1:].min() > 1e-4
