"""What a result is recorded with: the hardware and the versions of the host."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

FLA = "flash-linear-attention"


def describe_host() -> dict[str, str]:
    """cpu, gpus, python, torch and flash-linear-attention of this machine, without importing them."""
    return {
        "cpu": f"{_cpu_model()} ({os.cpu_count()} cores)",
        "gpus": _gpus(Path("/proc/driver/nvidia/gpus")),
        "python": platform.python_version(),
        "torch": _version("torch"),
        FLA: _version(FLA),
    }


def _cpu_model() -> str:
    match = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return match[1] if match else platform.machine()  # arm64 kernels name no model


def _gpus(driver: Path) -> str:
    cards = [re.search(r"^Model:\s*(.+)$", card.read_text(), re.MULTILINE) for card in driver.glob("*/information")]
    models = [card[1] for card in cards if card]
    return ", ".join(f"{models.count(model)} x {model}" for model in sorted(set(models))) or "none"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
