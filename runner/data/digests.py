"""What a data folder holds, by the digests that were noted when it was made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path


def file_digests(data_dir: Path, name: str) -> Mapping[str, str]:
    """SHA-256 of each file of the data folder `name` (`smoke/train`); empty where nothing was noted."""
    try:
        meta = json.loads((data_dir / name / "meta.json").read_text(encoding="utf-8"))
        if "files" in meta:
            return {file: str(about["sha256"]) for file, about in meta["files"].items()}
        return dict(meta.get("sha256", {}))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def folder_digest(data_dir: Path, name: str) -> str | None:
    """One SHA-256 over the names and digests of all its files; None where nothing was noted."""
    digests = file_digests(data_dir, name)
    return hashlib.sha256(json.dumps(sorted(digests.items())).encode()).hexdigest() if digests else None
