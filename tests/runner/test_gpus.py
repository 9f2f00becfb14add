"""Looking for GPUs where there may be none."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.gpus import busy, chosen, discover
from runner.pool import Device
from runner.protocol import RunnerError

DRIVER = Path("/proc/driver/nvidia/version").exists()


def test_a_host_tells_of_gpus_only_with_the_driver() -> None:
    assert bool(discover()) == DRIVER
    assert not busy("slot-0")


HOST = [
    Device("0", "H", frozenset("123"), "GPU-aaaa-0"),
    Device("1", "H", frozenset("023"), "GPU-aaab-1"),
    Device("2", "H", frozenset("013"), "GPU-bbbb-2"),
    Device("3", "H", frozenset("012"), "GPU-cccc-3"),
]


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        ("2,3", "23"),
        ("3, 1", "31"),
        ("1,1", "1"),
        ("GPU-bbbb-2", "2"),
        ("GPU-c,0", "30"),
        ("all", "0123"),
        ("none", ""),
        ("", ""),
        ("-1", ""),
    ],
)
def test_gpus_are_chosen_by_index_or_uuid(wanted: str, ids: str) -> None:
    found = chosen(HOST, wanted)
    assert [one.id for one in found] == list(ids)
    assert all(one.peers == set(ids) - {one.id} for one in found)


@pytest.mark.parametrize("wanted", ["4", "GPU-a", "GPU-x", "MIG-1234", "0,x", "bbbb"])
def test_gpus_that_are_not_there_are_named(wanted: str) -> None:
    with pytest.raises(RunnerError, match=wanted.split(",")[-1]):
        chosen(HOST, wanted)


@pytest.mark.gpu
def test_gpus_are_found_with_their_links_and_idle() -> None:
    devices = discover()
    assert [device.id for device in devices] == [str(index) for index in range(len(devices))]
    assert all(device.id not in device.peers for device in devices)
    assert not any(busy(device.id) for device in devices)
