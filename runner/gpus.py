"""The NVIDIA GPUs of this host: which there are, how they are linked, whether one is in use, and their device nodes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

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
                str(nvml.nvmlDeviceGetUUID(handle)),
            )
            for index, handle in enumerate(handles)
        ]


def chosen(devices: Sequence[Device], wanted: str) -> list[Device]:
    """Those of a host's GPUs that are ours: `2,3` by index in PCI order, `GPU-…` by UUID or its beginning, `all`, or
    `none`. Raises RunnerError for one that is not there.
    """
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    if names == ["all"]:
        return list(devices)
    if not names or names[0] in ("none", "-1", "NoDevFiles"):
        return []
    found: dict[str, Device] = {}
    for name in names:
        if name.startswith("MIG-"):
            raise RunnerError(f"{name} is a part of a GPU (MIG): only whole GPUs can be leased to tests")
        fitting = [one for one in devices if name == one.id or (name.startswith("GPU-") and one.uuid.startswith(name))]
        if len(fitting) != 1:
            there = ", ".join(f"{one.id} ({one.uuid})" for one in devices) or "none"
            raise RunnerError(f"there is no one GPU {name}; this host has {there}")
        found[fitting[0].id] = fitting[0]
    ids = {*found}
    return [replace(one, peers=one.peers & ids) for one in found.values()]


def busy(device: str) -> bool:
    """Whether a process computes on the GPU with this index. False for what is no GPU's index."""
    return bool(processes(device))


def processes(device: str) -> list[int]:
    """The ids of the processes that compute on the GPU with this index; none for what is no GPU's index."""
    if not device.isdecimal():
        return []
    with _nvml() as nvml:
        if nvml is None:
            return []
        handle = nvml.nvmlDeviceGetHandleByIndex(int(device))
        return [int(one.pid) for one in nvml.nvmlDeviceGetComputeRunningProcesses(handle)]


def occupied(device: str) -> str:
    """The processes on a GPU in words; empty where there are none."""
    told = []
    for pid in processes(device):
        try:
            process = psutil.Process(pid)
            told.append(f"{process.name()} of {process.username()}, process {pid}")
        except (psutil.Error, KeyError):
            told.append(f"process {pid}")  # in another container, or gone
    return f"GPU {device}: {'; '.join(told)}" if told else ""


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
