"""This distribution's version and requirements, installed or as a source tree."""

from __future__ import annotations

import importlib.metadata
import tomllib
from functools import cache
from pathlib import Path

NAME = "ringfence"
_PROJECT = Path(__file__).parents[4] / "pyproject.toml"


@cache
def own_version() -> str:
    """`0.1.0`; of a source tree that was never installed, what its pyproject.toml says."""
    try:
        return importlib.metadata.version(NAME)
    except importlib.metadata.PackageNotFoundError:
        return str(tomllib.loads(_PROJECT.read_text(encoding="utf-8"))["project"]["version"])


@cache
def requirements() -> tuple[str, ...]:
    """All that it requires, those of its extras included: `torch==2.13.0` and so on."""
    try:
        return tuple(importlib.metadata.requires(NAME) or ())
    except importlib.metadata.PackageNotFoundError:
        project = tomllib.loads(_PROJECT.read_text(encoding="utf-8"))["project"]
        extras = [one for extra in project["optional-dependencies"].values() for one in extra]
        return (*project["dependencies"], *extras)
