"""Writing tasks of a running service as folders for Harbor."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import ringfence
from env.operators.harbor.folder import HarborTask, files
from ringfence.client import Client

_CLIENT = ("__init__.py", "rf.py", "verify.py", "api", "client")
"""What of the package goes into the boxes."""


class ExportError(Exception):
    """Nothing was written, or no more: the message says why."""


def export(url: str, tasks: Sequence[str], scales: Sequence[str], out: Path) -> list[Path]:
    """A folder for each task and scale: of those named, or of all. Raises ExportError, RefusedError, ServiceError."""
    with Client(url) as client:
        wanted = [client.task(task_id) for task_id in tasks or [brief.id for brief in client.tasks()]]
        pairs = [(task, scale) for task in wanted for scale in task.scales if not scales or scale in scales]
        if not pairs:
            raise ExportError(f"none of these tasks has a scale {', '.join(scales) or 'at all'}")
        found = [
            HarborTask(url=url, task=task, scale=scale, prompt=client.prompt(task.id, scale).prompt)
            for task, scale in pairs
        ]
    taken = [one.name for one in found if (out / one.name).exists()]
    if taken:
        raise ExportError(f"there is already {out / taken[0]}: name another folder, or remove it")
    return [_write(one, out / one.name) for one in found]


def _write(one: HarborTask, folder: Path) -> Path:
    for name, text in files(one).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        if text.startswith("#!"):
            path.chmod(0o755)
    package = Path(ringfence.__file__).parent
    inside = folder / "environment" / "client" / "ringfence"
    inside.mkdir(parents=True)
    for name in _CLIENT:
        source = package / name
        if source.is_dir():
            shutil.copytree(source, inside / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, inside / name)
    return folder
