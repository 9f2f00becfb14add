"""The NVIDIA GPUs of this host: which there are, how they are linked, whether one is in use, and their device nodes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runner.pool import Device
from runner.protocol import RunnerError

_SHARED_NODES = ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools")
_PROC = Path("/proc/driver/nvidia/gpus")


def discover() -> list[Device]:
    """All GPUs that NVML tells of, by index in PCI order; none on a host without the NVIDIA driver."""
    with _nvml() as nvml:
        if nvml is None:
            return []
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        return [
            Device(
                str(index),
                str(nvml.nvmlDeviceGetName(handle)),
                frozenset(
                    str(other) for other, peer in enumerate(handles) if other != index and _linked(nvml, handle, peer)
                ),
            )
            for index, handle in enumerate(handles)
        ]


def busy(device: str) -> bool:
    """Whether a process computes on the GPU with this index. False for what is no GPU's index."""
    if not device.isdecimal():
        return False
    with _nvml() as nvml:
        if nvml is None:
            return False
        return bool(nvml.nvmlDeviceGetComputeRunningProcesses(nvml.nvmlDeviceGetHandleByIndex(int(device))))


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
    return [*_SHARED_NODES, *(f"/dev/nvidia{minors[one]}" for one in ids)]


def _linked(nvml: Any, one: Any, other: Any) -> bool:
    """Whether two GPUs are linked by NVLink, directly or through NVSwitch."""
    try:
        status = nvml.nvmlDeviceGetP2PStatus(one, other, nvml.NVML_P2P_CAPS_INDEX_NVLINK)
    except nvml.NVMLError:
        return False  # not told by this driver or card
    return bool(status == nvml.NVML_P2P_STATUS_OK)


@contextmanager
def _nvml() -> Iterator[Any]:
    """The NVML library between its init and shutdown, or None where there is no driver."""
    import pynvml  # only hosts that look for GPUs load it

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield None
        return
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()
