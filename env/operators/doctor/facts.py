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
    digest = hashlib.sha256()
    files = sorted(Path(places[0], "inside").glob("*.py")) if places else []
    if not files:
        return ""
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def gpus() -> int:
    """How many torch can use."""
    import importlib

    return int(importlib.import_module("torch").cuda.device_count())


if __name__ == "__main__":
    told = facts()
    if os.environ.get("COUNT_GPUS"):
        told["gpus"] = str(gpus())
    print(json.dumps(told))
