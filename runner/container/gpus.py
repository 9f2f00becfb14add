"""GPUs as device nodes, for hosts without the NVIDIA container toolkit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from runner.protocol import RunnerError

_SHARED = ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools")
_PROC = Path("/proc/driver/nvidia/gpus")


def device_nodes(ids: Sequence[str], proc: Path = _PROC) -> list[str]:
    """The nodes under /dev that a container needs for these GPUs, named by index or UUID. Raises RunnerError.

    An index counts GPUs by their PCI address, as nvidia-smi does; the node's number is another one, which the driver
    tells in /proc.
    """
    minors: dict[str, str] = {}
    for index, card in enumerate(sorted(proc.glob("*/information"))):
        about = dict(re.findall(r"^([^:\n]+):[ \t]*(.*?)[ \t]*$", card.read_text(), re.MULTILINE))
        minors[str(index)] = minors[about["GPU UUID"]] = about["Device Minor"]
    unknown = [one for one in ids if one not in minors]
    if unknown:
        raise RunnerError(f"this host has no GPU {', '.join(unknown)}; it has {', '.join(minors) or 'none'}")
    return [*_SHARED, *(f"/dev/nvidia{minors[one]}" for one in ids)]
