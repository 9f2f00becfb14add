"""The work of a forward pass, counted operator by operator as PyTorch runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

_ATTENTION_ON_CPUS = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu


class OperationCount(TorchDispatchMode):  # type: ignore[misc]  # the base has no types
    """Counts while it is entered: matrix products, convolutions and attention by their multiplications and additions,
    every other operator by the numbers that it makes, views by nothing.

    It sees what PyTorch dispatches. Kernels that are launched past PyTorch, as Triton's are, it does not see.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        self.operations += _operations(func, args, kwargs or {}, made)
        return made


def _operations(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], made: Any) -> int:
    packet = getattr(func, "overloadpacket", None)
    if packet is _ATTENTION_ON_CPUS:  # the one kind of attention that PyTorch's own table lacks
        return int(sdpa_flop_count(args[0].shape, args[1].shape, args[2].shape))
    if packet in flop_registry:
        return int(flop_registry[packet](*args, **kwargs, out_val=made))
    if getattr(func, "is_view", False):
        return 0
    return sum(leaf.numel() for leaf in tree_leaves(made) if isinstance(leaf, torch.Tensor))
