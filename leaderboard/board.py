"""Which results may be compared: a board holds those of one task version, scale, data and class of runner.

Best, rank, score, baseline and duplicate are all asked within one board; numbers of two boards say nothing about each
other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class RunnerClass(StrEnum):
    """How far the numbers of a runner can be believed, the most trusted first."""

    SANDBOXED = "sandboxed"  # the agent's code ran in containers
    LOCAL = "local"  # it ran as ordinary processes, which could reach whatever the service can
    UNKNOWN = "unknown"  # the row is from before runners were recorded, or of a runner that nobody here knows
    FAKE = "fake"  # nothing ran: the numbers are invented

    @staticmethod
    def of(runner: str | None) -> RunnerClass:
        """The class of a runner by its name."""
        return _CLASSES.get(runner or "", RunnerClass.UNKNOWN)

    @property
    def mark(self) -> str:
        """What has to stand beside every number of this class; empty for sandboxed ones."""
        return _MARKS[self]


_CLASSES = {
    "docker": RunnerClass.SANDBOXED,
    "slurm": RunnerClass.SANDBOXED,
    "local": RunnerClass.LOCAL,
    "fake": RunnerClass.FAKE,
}
_MARKS = {
    RunnerClass.SANDBOXED: "",
    RunnerClass.LOCAL: "run without a sandbox",
    RunnerClass.UNKNOWN: "runner not recorded",
    RunnerClass.FAKE: "invented by the fake runner",
}


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a result's numbers come from. None is what was not recorded; of invented results there is no data."""

    runner: str | None
    """`docker`, `local`, `fake`."""
    image: str | None
    """The id of the image that the agent's code ran in; None where it ran in none."""
    training_data: str | None
    """SHA-256 over what was noted of the training data's files."""
    heldout_data: str | None
    """The same of the held-out data that metrics were measured on."""
    reserve_data: str | None
    """The same of the reserve that exam texts were drawn from; None where they were written or there was none."""
    data: str | None
    """See `data_key`."""

    @property
    def runner_class(self) -> RunnerClass:
        return RunnerClass.of(self.runner)

    @staticmethod
    def of(record: Mapping[str, Any]) -> Origin:
        """What a result's integrity record says of it; records of earlier versions lack some or all of it."""
        machine, data = _mapping(record.get("machine")), _mapping(record.get("data"))
        runner, image = machine.get("runner"), machine.get("image")
        digests = {use: _mapping(folders) for use, folders in data.items()}
        return Origin(
            runner=runner if isinstance(runner, str) else None,
            image=image if isinstance(image, str) else None,
            training_data=_digest(digests.get("training", {})),
            heldout_data=_digest(digests.get("held_out", {})),
            reserve_data=_digest(digests.get("reserve", {})),
            data=data_key(digests),
        )


def data_key(digests: Mapping[str, Mapping[str, str | None]]) -> str | None:
    """One SHA-256 for the data that a result's metrics come from; None where any of it has no known digest.

    `digests` has them by use, `training` and `held_out`, and then by data folder. Other uses do not count.
    """
    used = {use: digests.get(use, {}) for use in ("training", "held_out")}
    if not used["held_out"] or any(digest is None for folders in used.values() for digest in folders.values()):
        return None
    return hashlib.sha256(json.dumps(used, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class BoardKey:
    """What the results of one board have in common."""

    task_id: str
    task_version: str
    scale: str
    data: str | None
    """The `data_key` of what they were trained and measured on; None where that was not recorded, or is nothing."""
    runner_class: RunnerClass

    @property
    def id(self) -> str:
        """Sixteen hexadecimal digits that name the board in addresses and rows; they follow from all the rest."""
        # As migration 0009 computes it.
        about = [self.task_id, self.task_version, self.scale, self.data, self.runner_class.value]
        return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _digest(folders: Mapping[str, str | None]) -> str | None:
    """One folder's digest is its own; several make one over their names and digests."""
    if not folders or any(digest is None for digest in folders.values()):
        return None
    if len(folders) == 1:
        return next(iter(folders.values()))
    return hashlib.sha256(json.dumps(sorted(folders.items())).encode()).hexdigest()
