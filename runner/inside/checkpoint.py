"""The evaluator's own look at a checkpoint: a plain file of tensors, and how many numbers it holds."""

from __future__ import annotations

import math
import stat
from pathlib import Path

from safetensors import SafetensorError, safe_open

from runner.inside.faults import CheckpointFault


def count_parameters(path: Path) -> int:
    """Elements of all tensors in a safetensors file, persistent buffers included, tied weights once.

    Only the header is read. Raises CheckpointFault, also for a pickle: weights alone are accepted.
    """
    try:
        mode = path.lstat().st_mode  # a link or a pipe left in the output folder is not followed
    except OSError:
        raise CheckpointFault(path, "the training run left none in its output folder") from None
    if not stat.S_ISREG(mode):
        raise CheckpointFault(path, "not a plain file")
    try:
        with safe_open(path, framework="numpy") as file:
            return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointFault(path, f"not a safetensors file of plain tensors ({reason})") from None
