"""A Slurm cluster on this machine, in a folder of its own: two nodes with two made-up GPUs each.

Debian's programs are started by hand, without a service manager and without control groups, as root.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from runner.slurm.cluster import Cluster
from tests.support.waiting import until

_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "bwrap", "prlimit", "setpriv")
NODES = ("node1", "node2")
_CONF = """
ClusterName=ringfence-tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2,batch_sched_delay=0,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
GresTypes=gpu
KillWait=2
CompleteWait=0
SlurmdTimeout=10
MessageTimeout=3
UnkillableStepTimeout=10
{nodes}
PartitionName=main Nodes=node1,node2 Default=YES MaxTime=1-0 State=UP
"""
_NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=16 RealMemory=200000 Gres=gpu:2"


class SlurmMissing(Exception):
    """This machine cannot have a cluster; the message says why."""


class SlurmCluster:
    """The cluster's daemons. `kill` is SIGKILL of one of them, `start` starts what is not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.conf = folder / "slurm.conf"
        """To be named in SLURM_CONF by whoever asks the cluster."""
        self.disturbed = False
        """Whether a daemon was killed: then Slurm itself may take half a minute to notice that a job is over."""
        self.worn = False
        """The same, since the cluster was new: a node may still be closed for it later."""
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        host = socket.gethostname().partition(".")[0]
        ports = _free_ports(1 + len(NODES))
        nodes = [_NODE.format(name=name, host=host, port=port) for name, port in zip(NODES, ports[1:], strict=True)]
        self.conf.write_text(_CONF.format(host=host, port=ports[0], folder=folder, nodes="\n".join(nodes)))
        cards = "\n".join(f"NodeName={name} Name=gpu File={folder}/card[0-1]" for name in NODES)
        (folder / "gres.conf").write_text(cards + "\n")
        for number in range(2):  # character devices, or Slurm numbers no GPUs: each another null
            os.mknod(folder / f"card{number}", 0o666 | 0o020000, os.makedev(1, 3))
        for name in ("munge", "state", *(f"spool-{name}" for name in NODES)):
            (folder / name).mkdir(mode=0o711)
        key = folder / "munge" / "key"
        key.touch(0o600)
        key.write_bytes(os.urandom(1024))

    def start(self) -> SlurmCluster:
        """Starts the daemons that are not running, and waits until both nodes answer."""
        munge = self.folder / "munge"
        files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        self._run("munged", "munged", "-F", *(f"--{option}={munge / name}" for option, name in files.items()))
        until((munge / "socket").exists, 30)
        self._run("slurmctld", "slurmctld", "-D", "-f", str(self.conf))
        for name in NODES:
            self._run(name, "slurmd", "-D", "-f", str(self.conf), "-N", name)
        until(self._ready, 30, 0.1, self._log)
        return self

    def renew(self) -> SlurmCluster:
        """As at first, if a daemon was ever killed."""
        if self.worn:
            self.stop()
            self._daemons.clear()
            for name in ("state", *(f"spool-{name}" for name in NODES)):
                shutil.rmtree(self.folder / name)
                (self.folder / name).mkdir(mode=0o711)
            self.worn = False
        return self.start()

    def kill(self, daemon: str) -> None:
        """SIGKILL of `slurmctld`, `node1` or `node2`. What a slurmd has started goes on."""
        self.disturbed = self.worn = True
        process = self._daemons.pop(daemon)
        process.kill()
        process.wait(20)

    def stop(self) -> None:
        """Everything: jobs first, then the daemons."""
        with contextlib.suppress(AssertionError, subprocess.SubprocessError):
            self.ask("scancel", "--state=PENDING", "--user=0")
            self.ask("scancel", "--user=0")
            until(lambda: not self.ask("squeue", "-h"), 20, 0.1)
        for process in reversed(self._daemons.values()):
            process.send_signal(signal.SIGTERM)
        for process in self._daemons.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        for left in _stepd_of(self.folder):
            with contextlib.suppress(psutil.Error):
                left.kill()

    def ask(self, *command: str) -> str:
        """What one of Slurm's commands prints."""
        env = {**os.environ, "SLURM_CONF": str(self.conf)}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)
        return done.stdout

    def jobs(self, states: str = "all") -> list[str]:
        """A line of id, state and name for each job."""
        return self.ask("squeue", "-h", "-t", states, "-o", "%i %T %j").splitlines()

    def _run(self, daemon: str, *command: str) -> None:
        if daemon in self._daemons and self._daemons[daemon].poll() is None:
            return
        with (self.folder / f"{daemon}.out").open("ab") as out:
            # A session of its own: what ends the tests' group ends it by `stop`, in the right order.
            self._daemons[daemon] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.folder, start_new_session=True
            )

    def _ready(self) -> bool:
        for daemon, process in self._daemons.items():
            assert process.poll() is None, f"{daemon} ends: {self._log()}"
        states = self.ask("sinfo", "-h", "-N", "-o", "%T").split()
        if any(state.startswith(("drain", "down")) for state in states):
            # A slurmctld that was killed may start a job again that goes on, and then closes the node.
            self.ask("scontrol", "update", f"nodename={','.join(NODES)}", "state=resume")
        return len(states) == len(NODES) and set(states) <= {"idle", "mixed", "allocated", "completing"}

    def _log(self) -> str:
        states = self.ask("sinfo", "-h", "-N", "-o", "%N %T %E")
        return states + "".join(
            path.read_text(errors="replace")[-1500:] for path in sorted(self.folder.glob("slurm*.log"))
        )


def check_programs() -> None:
    """Raises SlurmMissing where there can be no cluster."""
    absent = [name for name in _PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None]
    if absent:
        raise SlurmMissing(
            f"there is no {', '.join(absent)}; Debian has them in slurmctld, slurmd, slurm-client, munge and bubblewrap"
        )
    if os.geteuid() != 0:
        raise SlurmMissing("only root can start a cluster")


@contextlib.contextmanager
def slurm_cluster() -> Iterator[SlurmCluster]:
    """A cluster in a folder of its own, gone at the end."""
    # Not in pytest's own folder, which other users may not enter.
    with tempfile.TemporaryDirectory(prefix="ringfence-slurm-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        cluster = SlurmCluster(folder)
        try:
            yield cluster.start()
        finally:
            cluster.stop()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _stepd_of(folder: Path) -> list[psutil.Process]:
    """What is left of jobs: slurmstepd names no cluster, but works in its node's folder or has its log open."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.name().startswith("slurmstepd") and str(folder) in " ".join(
                file.path for file in process.open_files()
            ):
                found.append(process)
    return found


def write_image(folder: Path) -> Path:
    """An unpacked image of nothing but folders and names: the host's programs are bound into it."""
    (folder / "etc").mkdir(parents=True)
    (folder / "etc" / "passwd").write_text("root:x:0:0::/:/bin/sh\nrunner:x:1000:1000::/tmp:/bin/sh\n")
    (folder / "etc" / "nsswitch.conf").write_text("passwd: files\nhosts: files\n")
    for name in ("bin", "lib", "lib64", "sbin"):
        (folder / name).symlink_to(f"usr/{name}")
    return folder


def wait_for_no_jobs(cluster: SlurmCluster, patience_s: float = 30) -> None:
    """Waits until Slurm knows of no job that goes on."""
    if cluster.disturbed:
        cluster.disturbed = False
        cluster.ask("scancel", "--user=0")
    deadline = time.monotonic() + patience_s
    while left := cluster.ask("squeue", "-h", "-o", "%i %T %j").splitlines():
        assert time.monotonic() < deadline, f"jobs are left: {left}"
        time.sleep(0.1)


def as_toml(cluster: Cluster) -> str:
    """The cluster file that says so."""
    lines = []
    for key, value in dataclasses.asdict(cluster).items():
        if value is None or value == {} or value == ():
            continue
        if isinstance(value, dict):
            value = "{ " + ", ".join(f'"{name}" = "{each}"' for name, each in value.items()) + " }"
        elif isinstance(value, bool):
            value = str(value).lower()
        elif not isinstance(value, (int, float)):
            value = f'"{value}"'
        lines.append(f"{key} = {value}\n")
    return "".join(lines)
