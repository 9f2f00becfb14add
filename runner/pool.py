"""Devices and who has them: every test holds a lease from its first run to its last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations


@dataclass(frozen=True)
class Device:
    """One GPU of this host, or one slot of a host that runs on CPUs."""

    id: str
    """The name that a run is told: the GPU's index or UUID; `slot-0` and so on without GPUs."""
    name: str = ""
    peers: frozenset[str] = field(default_factory=frozenset)
    """The ids of the devices it is linked to directly (NVLink)."""
    uuid: str = ""
    """Of a GPU, as its driver tells it."""


class Pool:
    """Hands out devices of one host; never one twice. Not thread-safe: one thread owns it."""

    def __init__(self, devices: Sequence[Device], *, whole_runs: bool = False) -> None:
        """With `whole_runs` a device holds a whole run, however many processes it has: the slots of a CPU host."""
        self._devices = {device.id: device for device in devices}
        self._whole_runs = whole_runs
        self._free = dict.fromkeys(self._devices)

    @staticmethod
    def of_slots(count: int) -> Pool:
        """A host without GPUs: `count` runs at once."""
        return Pool([Device(f"slot-{number}") for number in range(count)], whole_runs=True)

    @property
    def devices(self) -> tuple[Device, ...]:
        return tuple(self._devices.values())

    @property
    def free(self) -> int:
        return len(self._free)

    @property
    def free_ids(self) -> tuple[str, ...]:
        return tuple(self._free)

    def fits(self, world_size: int) -> bool:
        """Whether a run of this world size could ever be had here."""
        return self._wanted(world_size) <= len(self._devices)

    def lease(self, world_size: int) -> tuple[str, ...] | None:
        """Devices for a run of `world_size` processes, linked to each other as far as possible; None for now."""
        wanted = self._wanted(world_size)
        if wanted > len(self._free):
            return None
        linked = any(device.peers for device in self._devices.values())
        # Of hundreds of GPUs without a known link, as a cluster's are here, there are too many choices to look at.
        chosen = max(combinations(self._free, wanted), key=self._links) if linked else tuple(self._free)[:wanted]
        self._take(chosen)
        return chosen

    def adopt(self, ids: Sequence[str]) -> None:
        """Take devices that a run from before a restart still holds; unknown ones are gone from this host."""
        self._take([id_ for id_ in ids if id_ in self._devices])

    def give_back(self, ids: Sequence[str]) -> None:
        for id_ in ids:
            if id_ in self._devices:
                assert id_ not in self._free, f"{id_} was given back twice"
                self._free[id_] = None

    def _wanted(self, world_size: int) -> int:
        return 1 if self._whole_runs else world_size

    def _links(self, ids: tuple[str, ...]) -> int:
        return sum(b in self._devices[a].peers for a, b in combinations(ids, 2))

    def _take(self, ids: Sequence[str]) -> None:
        for id_ in ids:
            self._free.pop(id_, None)


@dataclass(frozen=True)
class Host:
    """What one host has to give: slots for runs on its CPUs, GPUs for the others."""

    slots: Pool
    gpus: Pool
    busy: Callable[[str], bool]
    """Whether a process is still on a device. Asked outside the thread that owns the pools."""

    def pool(self, on_gpus: bool) -> Pool:
        return self.gpus if on_gpus else self.slots

    @property
    def pools(self) -> int:
        return len({self.slots, self.gpus})
