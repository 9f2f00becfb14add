"""What sandboxes have in common whose runs have a folder on this host: the places inside, and what is seen there."""

from __future__ import annotations

import hashlib
import os
from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.folder.run_folder import RunFolder
from runner.folder.runner import FolderRunner
from runner.protocol import RunSpec

WORK, OUT, INPUT, MEET = "/ringfence/work", "/ringfence/out", "/ringfence/input", "/ringfence/meet"
EXAM = "/ringfence/exam"
_FIRST_UID, _UIDS = 20_000, 40_000  # below 65536, for engines that map users


@dataclass(frozen=True)
class Mount:
    """A folder of the host, and the path at which a sandbox sees it."""

    source: Path
    target: str
    writable: bool = False


def data_place(variable: str) -> str:
    """The path at which a sandbox sees the data folder that this environment variable leads to."""
    return f"/ringfence/data/{variable}"


def inner_environment(spec: RunSpec, mounts: Sequence[Mount], defaults: Mapping[str, str]) -> dict[str, str]:
    """All that a run finds in its environment; `defaults` are what its own settings go before."""
    targets = {mount.target for mount in mounts}
    return {
        **defaults,
        **spec.env,
        "HOME": "/tmp",
        "TMPDIR": "/tmp",
        "USER": "runner",  # some libraries insist on a name, which a user id need not have
        "PYTHONDONTWRITEBYTECODE": "1",  # the work folder is read-only
        "OUT_DIR": OUT,
        **({"INPUT_DIR": INPUT} if INPUT in targets else {}),
        **({"EXAM_DIR": EXAM} if EXAM in targets else {}),
        **({"MEET_DIR": MEET} if spec.workers or spec.is_worker else {}),
        **{variable: data_place(variable) for variable in spec.data},
    }


def user_of(run_id: str) -> int:
    """The user id of a run: another one for every run. One that reads another's output has the id of that run.

    The kernel counts pending signals, watches and more per user, and tells everyone with that id. A service that is not
    root itself cannot hand out ids: its runs all have its own.
    """
    if os.getuid() != 0:
        return os.getuid()
    return drawn_user(run_id)


def drawn_user(run_id: str) -> int:
    """A user id that follows from a run's id, hardly ever that of another run."""
    digest = hashlib.sha256(run_id.encode()).digest()
    return _FIRST_UID + int.from_bytes(digest[:8], "big") % _UIDS


class SandboxRunner(FolderRunner, ABC):
    """A FolderRunner whose runs see nothing of the host but what is mounted for them."""

    def _mounts(self, run: RunFolder, spec: RunSpec) -> list[Mount]:
        """The folders that a run sees, but for that of its exam."""
        mounts = [Mount(run.work, WORK)]
        if not spec.is_worker:
            mounts.append(Mount(run.out, OUT, writable=True))
        for variable, name in spec.data.items():
            mounts.append(Mount(self._data(variable, name), data_place(variable)))
        if spec.upstream is not None:
            mounts.append(Mount(self._output_of(spec.upstream, spec.run_id), INPUT))
        # One by one: what holds them is out of the run's reach, so that it cannot put a link in a worker's place.
        for place in map(self._rendezvous_folder, spec.workers):
            mounts.append(Mount(place, f"{MEET}/{place.name}", writable=True))
        if spec.is_worker:
            mounts.append(Mount(self._rendezvous_folder(spec), MEET))
        return mounts
