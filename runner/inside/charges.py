"""What a checkpoint is charged: how many numbers it counts for, by everything that it lets reach the model.

This module imports nothing of ours, so that the judge, which sees a file, and the model's side, which sees a model,
agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

NUMBERS = {"F64": 2, "F32": 1, "F16": 1, "BF16": 1, "C64": 2} | {
    **{"I64": 8, "U64": 8, "I32": 4, "U32": 4, "I16": 2, "U16": 2, "I8": 1, "U8": 1, "BOOL": 1}
}
"""Numbers that one element counts for, by safetensors' name of its type. Floats lose all but about eight bits on their
way to the model (`judge/reduction.py`), however wide they are stored; integers keep every byte."""
BYTES = {
    **{"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "C64": 8},
    **{"I64": 8, "U64": 8, "I32": 4, "U32": 4, "I16": 2, "U16": 2, "I8": 1, "U8": 1, "BOOL": 1},
}
"""Bytes of one element, by the same names."""
DIMENSION = 8
"""Numbers that each dimension of a shape counts for: a file has room for eight bytes."""


def charge(name: str, dtype: str, shape: Sequence[int]) -> int:
    """What one tensor counts for: its elements, the bytes of its name, and its shape."""
    return NUMBERS[dtype] * math.prod(shape) + charge_for_name(name, len(shape))


def charge_for_name(name: str, dimensions: int) -> int:
    """What a tensor counts for beside its elements."""
    return len(name.encode()) + DIMENSION * dimensions
