"""Style sheets and scripts: read once, served under an address that changes with their content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

PREFIX = "/static"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".txt": "text/plain"}


@dataclass(frozen=True)
class Asset:
    """A style sheet, script or picture that pages load."""

    content: bytes
    media_type: str


@cache
def assets() -> dict[str, Asset]:
    """All files that pages load, by file name."""
    found = sorted((files("leaderboard.pages") / "static").iterdir(), key=lambda file: file.name)
    return {
        file.name: Asset(file.read_bytes(), _TYPES[suffix])
        for file in found
        if (suffix := f".{file.name.rpartition('.')[2]}") in _TYPES
    }


@cache
def version() -> str:
    """A short digest of all files together: scripts import each other by relative addresses."""
    digest = hashlib.sha256()
    for name, asset in assets().items():
        digest.update(f"{name}\0{len(asset.content)}\0".encode() + asset.content)
    return digest.hexdigest()[:12]


def static_url(name: str) -> str:
    """The address of a file in `static/`, which may be cached for good."""
    assert name in assets(), name
    return f"{PREFIX}/{version()}/{name}"
