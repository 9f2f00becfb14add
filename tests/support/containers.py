"""What tests need of a container engine: an image made in a moment, and nothing left afterwards."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import docker

from runner.container.sandbox import Sandbox


@contextlib.contextmanager
def engine_client(engine_url: str | None = None) -> Iterator[docker.APIClient]:
    """The engine's own SDK; the engine of DOCKER_HOST unless another one is given."""
    client = docker.APIClient(base_url=engine_url or os.environ.get("DOCKER_HOST"), version="auto")
    try:
        yield client
    finally:
        client.close()


def import_empty_image(engine_url: str | None) -> str:
    """Makes an image of nothing but folders: the host's programs are bound into it."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in ("dev", "etc", "proc", "sbin", "sys", "tmp", "usr"):  # the engine lays its init into /sbin
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(folder)
        for name in ("bin", "lib", "lib64"):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, f"usr/{name}"
            tar.addfile(link)
        users = b"root:x:0:0::/:/bin/sh\nrunner:x:1000:1000::/tmp:/bin/sh\n"
        for name, text in (("passwd", users), ("nsswitch.conf", b"passwd: files\nhosts: files\n")):
            file = tarfile.TarInfo(f"etc/{name}")
            file.size = len(text)
            tar.addfile(file, io.BytesIO(text))
    # Named by what is in it, and made once: an image whose name another one takes stays behind without any.
    tag = hashlib.sha256(archive.getvalue()).hexdigest()[:12]
    with engine_client(engine_url) as client:
        if not client.images(f"ringfence-test:{tag}"):
            client.import_image_from_data(archive.getvalue(), repository="ringfence-test", tag=tag)
    return f"ringfence-test:{tag}"


def containers_with(engine_url: str | None, text: str) -> list[str]:
    """Ids of all containers, running or not, that mount something under `text`."""
    with engine_client(engine_url) as client:
        return [
            one["Id"]
            for one in client.containers(all=True)
            if any(str(mount.get("Source", "")).startswith(text) for mount in one["Mounts"])
        ]


def remove_containers(text: str, engine_url: str | None = None) -> None:
    """Removes all that mount something under `text`, and unmounts what their runner mounted there."""
    found = containers_with(engine_url, text)
    with engine_client(engine_url) as client:
        for container in found:
            with contextlib.suppress(docker.errors.NotFound):  # its service was about to remove it
                client.remove_container(container, force=True)
    for line in Path("/proc/self/mounts").read_text().splitlines():
        place = line.split()[1]
        if place.startswith(text):
            subprocess.run(["umount", "--lazy", place], check=True)


def sandbox_toml(sandbox: Sandbox) -> str:
    """The settings as a file that `--sandbox` takes."""
    tables = {"binds": sandbox.binds, "environment": sandbox.environment}
    return f"cpus = {sandbox.cpus}\n" + "".join(
        f"[{table}]\n" + "".join(f"{json.dumps(key)} = {json.dumps(value)}\n" for key, value in pairs.items())
        for table, pairs in tables.items()
    )
