"""What a data folder holds, by the digests that were noted when it was made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

_WHOLE = 8 << 20
_PIECE = 1 << 20
"""Bytes."""


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


def content_digest(data_dir: Path, name: str) -> str | None:
    """One SHA-256 over the files of a data folder of which nothing was noted; None where there is none.

    Of a file of more than 8 MiB its size and three pieces count, from its start, middle and end: enough to tell data
    sets apart, and none to tell who has changed a byte. What did not change since is not read again.
    """
    folder = data_dir / name
    try:
        found = [(path, path.stat()) for path in sorted(folder.rglob("*")) if path.is_file()]
        return (
            _content(folder, tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in found)) if found else None
        )
    except OSError:
        return None


@lru_cache(maxsize=64)
def _content(folder: Path, files: tuple[tuple[Path, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for path, size, _ in files:
        digest.update(json.dumps([path.relative_to(folder).as_posix(), size]).encode())
        with path.open("rb") as file:
            for start in (0,) if size <= _WHOLE else (0, size // 2, size - _PIECE):
                file.seek(start)
                digest.update(file.read(_WHOLE if size <= _WHOLE else _PIECE))
    return digest.hexdigest()
