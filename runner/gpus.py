"""The NVIDIA GPUs of this host, as NVML tells: which there are, how they are linked, and whether one is in use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from runner.pool import Device


def discover() -> list[Device]:
    """All of them, by index in PCI order; none on a host without the NVIDIA driver."""
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


def _linked(nvml: Any, one: Any, other: Any) -> bool:
    """By NVLink, directly or through NVSwitch."""
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
