"""What an operator says about the cluster: the keys of the file that `--cluster` names."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Where jobs go, what they ask for, and how they are sandboxed. Each field is a key of the file."""

    folder: Path
    """A folder that this host and all nodes see by the same path, for runs; private to the service's user. The data
    folder has to be seen by all nodes too."""
    sandbox: Literal["bubblewrap", "apptainer", "pyxis"] = "bubblewrap"
    """What the nodes have to sandbox runs with."""
    image: str = ""
    """bubblewrap: a folder with an unpacked image, on every node or shared. apptainer: an image file or an unpacked
    folder. pyxis: what `srun --container-image` takes."""
    partition: str = ""
    """By default the cluster's own default."""
    account: str = ""
    """What jobs are charged to; by default the user's own."""
    qos: str = ""
    """The quality of service; by default the user's own."""
    constraint: str = ""
    """Features that nodes must have, as `sbatch --constraint` takes them."""
    gres: str = "gpu"
    """What a GPU is called here, with its type if it has one: `gpu:h100`."""
    cpus: int = 2
    """Processors for each process that a run without GPUs starts; also for each of its workers."""
    cpus_per_gpu: int = 8
    """Processors for each GPU of a run with GPUs."""
    memory: bool = True
    """Whether jobs ask for memory: the limits of a run and of its workers together."""
    exclusive: bool = False
    """Whole nodes for every job, so that nobody else's code is beside an evaluation."""
    extra: tuple[str, ...] = ()
    """Further options of `sbatch`, as `--reservation=research`."""
    slots: int = 4
    """Tests without GPUs at once, queued or running."""
    gpus: int = 0
    """GPUs that tests may ask for at once, queued or running: what the partition or the account allows."""
    time_margin_s: int = 300
    """Seconds that jobs ask for beyond the time limit of their runs, to start and to end."""
    lost_after_s: float = 120.0
    """Seconds after which a run counts as lost that Slurm calls over, or does not know, and that shows no sign of life
    and wrote down no end: longer than the shared folder takes to show what a node wrote."""
    python: str = sys.executable
    """A Python with ringfence installed, by a path that is good on all nodes."""
    node_folder: Path = Path("/tmp")
    """A folder of each node, not shared, where a run and its workers meet."""
    commands: Path | None = None
    """The folder with Slurm's commands; by default those on the service's PATH."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Set in every sandbox, before the run's own."""
    binds: Mapping[str, str] = field(default_factory=dict)
    """Folders and files of the nodes to their place in the sandbox, read-only, for every run."""
    processes: int = 512
    """Processes and threads of a run at once; starting another fails."""
    disk_mb: int = 20_480
    """What a run may write to the shared folder, in MiB; also the largest single file."""
    tmp_mb: int = 2048
    """/tmp in MiB. It is memory, and counts as such."""
    shm_mb: int | None = None
    """/dev/shm in MiB, memory as well; by default 1024, and 8192 for runs with GPUs."""
    output_mb: int = 64
    """Kept of stdout and of stderr each, in MiB; of what goes beyond it only the end."""
    confined_gpus: bool = False
    """apptainer, pyxis: the cluster's control groups keep jobs from GPUs that are not theirs (ConstrainDevices=yes).
    Without it these sandboxes get no GPUs, as they show all that there are."""
    open_network: bool = False
    """pyxis: accept that sandboxes share the node's network, which rows then say. Without it pyxis is refused."""

    def in_words(self) -> str:
        """The kind of sandbox as rows name it."""
        return f"{self.sandbox}, open network" if self.open_network else self.sandbox
