"""Looking for GPUs where there may be none."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.gpus import busy, discover

DRIVER = Path("/proc/driver/nvidia/version").exists()


def test_a_host_tells_of_gpus_only_with_the_driver() -> None:
    assert bool(discover()) == DRIVER
    assert not busy("slot-0")


@pytest.mark.gpu
def test_gpus_are_found_with_their_links_and_idle() -> None:
    devices = discover()
    assert [device.id for device in devices] == [str(index) for index in range(len(devices))]
    assert all(device.id not in device.peers for device in devices)
    assert not any(busy(device.id) for device in devices)
