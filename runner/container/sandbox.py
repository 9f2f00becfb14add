"""What an operator can set about the sandbox of every run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Sandbox:
    """Limits, and how the host hands over its GPUs. The time and memory of a run come with its spec."""

    processes: int = 512
    """Processes and threads at once; starting another fails."""
    disk_mb: int = 20_480
    """All of the host's folders that a run can write to, in MiB; also the largest single file."""
    tmp_mb: int = 2048
    """/tmp in MiB. It is memory, and counts as such."""
    shm_mb: int | None = None
    """/dev/shm in MiB, memory as well; by default 1024, and 8192 for runs with GPUs."""
    output_mb: int = 64
    """What a run may print, in MiB for each of stdout and stderr; every line costs 100 bytes extra."""
    cpus: float | None = None
    """Processors' worth of time; by default the host's, divided by the slots. So many threads do libraries start."""
    gpu_mode: Literal["toolkit", "devices"] = "toolkit"
    """`toolkit`: the NVIDIA container toolkit hands over GPUs and driver libraries. `devices`: the device nodes are
    passed as they are, and `binds` and `environment` have to bring the driver's libraries."""
    binds: Mapping[str, str] = field(default_factory=dict)
    """Folders and files of the host to their place in the sandbox, read-only, for every run."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Set in every run, before the run's own."""
    runtime: str | None = None
    """Another OCI runtime the engine knows, as gVisor's `runsc`. It has to let runs and their workers connect to Unix
    sockets in a folder that they share."""
