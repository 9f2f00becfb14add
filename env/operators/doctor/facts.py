"""What a program finds around itself: versions, GPUs, and which source of `runner` it has. Standard library only.

Sent into the sandbox as a script of its own, which prints `facts()` as JSON; imported here for the same facts of this
installation.
"""

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
from pathlib import Path


def facts() -> dict[str, str]:
    """Versions of Python and of the packages that scoring needs, empty where one is not there, and `source()`."""
    found = {"python": platform.python_version()}
    for package in ("torch", "lm-eval", "safetensors", "numpy", "tiktoken"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = ""
    return {**found, "source": source()}


def source() -> str:
    """SHA-256 over `runner/inside`, the code that scores; empty if there is none."""
    spec = importlib.util.find_spec("runner")
    places = spec.submodule_search_locations if spec else None
    return digest_of(Path(places[0], "inside")) if places else ""


def digest_of(folder: Path) -> str:
    """SHA-256 over the Python files in `folder` and its sub-folders, by place and contents; empty if there are none."""
    files = {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*.py")}
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(name.encode() + b"\0" + content)
    return digest.hexdigest() if files else ""


def gpus() -> int:
    """How many torch can use."""
    import importlib

    return int(importlib.import_module("torch").cuda.device_count())


if __name__ == "__main__":
    told = facts()
    if os.environ.get("COUNT_GPUS"):
        told["gpus"] = str(gpus())
    print(json.dumps(told))
