"""Make and unmake a run's folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from runner.folder.run_folder import RunFolder
from runner.folder.untrusted import erase

PACKAGES = str(Path(__file__).parents[2])
"""The folder that our packages lie in, for processes that are to import them and nothing of the working folder."""
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def lay_out(run: RunFolder, files: Mapping[str, str], rendezvous_folders: Iterable[Path] = ()) -> None:
    """Make the folders and put the files into the work folder, read-only. Starts over what was left half done."""
    if run.work.exists():
        erase(run.work)
    for folder in (run.work, run.out, run.scratch, *rendezvous_folders):
        folder.mkdir(exist_ok=True, parents=True)
    for name, text in files.items():
        path = run.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
        path.chmod(0o555 if text.startswith("#!") else 0o444)
    for folder_name, _, _ in os.walk(run.work):
        Path(folder_name).chmod(0o555)


def environment(run: RunFolder, env: Mapping[str, str], folders: Mapping[str, Path]) -> dict[str, str]:
    """All a run finds in its environment: nothing of the service's own."""
    return {
        **env,
        "PYTHONPATH": PACKAGES,
        "PATH": f"{Path(sys.executable).parent}:{_SYSTEM_PATH}",
        "HOME": str(run.scratch),
        "TMPDIR": str(run.scratch),
        "PYTHONDONTWRITEBYTECODE": "1",  # the work folder is read-only
        "OUT_DIR": str(run.out),
        **{name: str(folder) for name, folder in folders.items()},
    }


def visible_gpus(ids: Sequence[str]) -> dict[str, str]:
    """The GPUs with these indices, counted as NVML does, and no others."""
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(ids)}
