"""A sandbox made by bubblewrap from an unpacked image: everything that keeps it tight is in this one command line."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from runner.folder.sandboxed import OUT, WORK, Mount
from runner.slurm.cluster import Cluster
from runner.slurm.folder import Room
from runner.surface import masked_paths

WORKERS_OUT_MB = 16
_FILTER_FD, _STATUS_FD = 9, 8
_RUNNER_ETC = {"hosts": "127.0.0.1 localhost\n::1 localhost\n", "hostname": "localhost\n", "resolv.conf": ""}
"""Files of /etc that are ours in every sandbox."""
_EMPTY = "empty"
"""Beside them, what is seen in the place of files that are hidden: a device would need a file system with devices."""
_OF_CPUS = "/sys/devices/system/cpu"
_OF_NETWORK = ("/sys/class/net", "/sys/devices/virtual/net")
"""What /sys tells of the network is the node's, whatever the sandbox has."""


def bubblewrap_command(
    cluster: Cluster, room: Room, *, filter_file: Path, status_file: Path, etc: Path, nodes: Iterable[str], root: bool
) -> tuple[str, ...]:
    """The command that runs a room's own in its sandbox.

    `filter_file` holds the compiled list of system calls; into `status_file` bubblewrap writes how the command ended;
    `etc` is a folder with our files of /etc; `nodes` are the device nodes of the room's GPUs; `root`: whether the job
    is root's, who hands out user ids. Other users' sandboxes are user namespaces.
    """
    shm_mb = cluster.shm_mb if cluster.shm_mb is not None else (8192 if room.gpus else 1024)
    arguments = [
        "bwrap",
        *("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
        # Without a network no other name resolves, and libraries ask for that of their own host.
        *("--hostname", "localhost", "--die-with-parent", "--new-session", "--cap-drop", "ALL"),
        *_user(room, root),
        *_image(Path(cluster.image), etc),
        *("--proc", "/proc"),
        *_sys(gpus=bool(room.gpus)),
        *_masks(etc / _EMPTY, gpus=bool(room.gpus)),
        *("--dev", "/dev", "--perms", "1777", "--size", str(shm_mb << 20), "--tmpfs", "/dev/shm"),
        *(word for node in nodes for word in ("--dev-bind", node, node)),
        *("--perms", "1777", "--size", str(cluster.tmp_mb << 20), "--tmpfs", "/tmp"),
        *(() if room.has_out else ("--perms", "1777", "--size", str(WORKERS_OUT_MB << 20), "--tmpfs", OUT)),
        *_binds([Mount(Path(source), target) for source, target in cluster.binds.items()]),
        *_binds(room.mounts),
        *("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", WORK, "--clearenv"),
        *_setenv(room.env),
        *("--seccomp", str(_FILTER_FD), "--json-status-fd", str(_STATUS_FD), "--"),
        *_as_user(room, root),
        *("prlimit", f"--nproc={cluster.processes}", "--"),
        *room.command,
    ]
    # bubblewrap is handed its files as open descriptors.
    script = f'exec {_FILTER_FD}<"$1" {_STATUS_FD}>"$2"; shift 2; exec "$@"'
    return ("sh", "-c", script, "sandbox", str(filter_file), str(status_file), *arguments)


def write_etc(folder: Path) -> None:
    """Makes the folder with our files of /etc."""
    folder.mkdir()
    for name, text in {**_RUNNER_ETC, _EMPTY: ""}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o644)


def _user(room: Room, root: bool) -> tuple[str, ...]:
    if root:
        return ("--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP")
    return ("--unshare-user", "--uid", str(room.user), "--gid", str(room.user))


def _as_user(room: Room, root: bool) -> tuple[str, ...]:
    if root:
        ids = (f"--reuid={room.user}", f"--regid={room.user}", "--clear-groups")
        return ("setpriv", *ids, "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", "--")
    return ("setpriv", "--no-new-privs", "--")


def _image(image: Path, etc: Path) -> Iterator[str]:
    """The image's files, read-only, on a root of the sandbox's own, so that whatever is mounted finds its place."""
    for entry in sorted(image.iterdir()):
        target = f"/{entry.name}"
        if entry.is_symlink():
            yield from ("--symlink", str(entry.readlink()), target)
        elif entry.name == "etc":
            others = sorted(each for each in entry.iterdir() if each.name not in _RUNNER_ETC)
            yield from _binds([Mount(each, f"/etc/{each.name}") for each in others if not each.is_symlink()])
            for each in others:
                if each.is_symlink():
                    yield from ("--symlink", str(each.readlink()), f"/etc/{each.name}")
        elif entry.name not in ("dev", "proc", "run", "sys", "tmp", "ringfence"):
            yield from ("--ro-bind", str(entry), target)
    yield from _binds([Mount(etc / name, f"/etc/{name}") for name in sorted(_RUNNER_ETC)])


def _sys(*, gpus: bool) -> Iterator[str]:
    seen = "/sys" if gpus else _OF_CPUS
    yield from _binds([Mount(Path(seen), seen)])


def _masks(empty: Path, *, gpus: bool) -> Iterator[str]:
    """Hides what the node would tell: a file reads as empty, a folder as an empty one."""
    hidden = "/nowhere"
    for name in sorted({*masked_paths(os.cpu_count() or 1), *_OF_NETWORK}):
        path = Path(name)
        mounted = gpus or not path.is_relative_to("/sys") or path.is_relative_to(_OF_CPUS)
        if not mounted or path.is_relative_to(hidden):
            continue
        if path.is_dir():
            hidden = name
            yield from ("--size", "4096", "--tmpfs", name, "--remount-ro", name)
        elif path.exists():
            yield from ("--ro-bind", str(empty), name)


def _binds(mounts: Iterable[Mount]) -> Iterator[str]:
    for mount in mounts:
        for parent in reversed(Path(mount.target).parents[:-1]):
            yield from ("--perms", "0755", "--dir", str(parent))  # for all users, or the run cannot pass
        yield from ("--bind" if mount.writable else "--ro-bind", str(mount.source), mount.target)


def _setenv(env: Mapping[str, str]) -> Iterator[str]:
    for name, value in sorted(env.items()):
        yield from ("--setenv", name, value)
