"""The smoke corpus: the running Python's standard library, split by file."""

from __future__ import annotations

import hashlib
import os
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

LEFT_OUT = {
    "site-packages",  # differs from machine to machine
    "dist-packages",
    "test",
    "tests",
    "encodings",  # tables of numbers
    "pydoc_data",
}
LARGEST_FILE = 65536
"""Bytes; a few giant modules would otherwise outweigh everything else."""


@dataclass(frozen=True)
class Corpus:
    """Relative name to text, names ascending; no file is in two splits."""

    train: Mapping[str, str]
    dev: Mapping[str, str]
    heldout: Mapping[str, str]


def read_corpus() -> Corpus:
    """About 6 MB, the same wherever the same Python is installed; a twentieth of the files for dev and for held-out."""
    splits: dict[str, dict[str, str]] = {"train": {}, "dev": {}, "heldout": {}}
    for name, path in sorted(_sources(Path(sysconfig.get_path("stdlib")))):
        splits[_split_of(name)][name] = path.read_text(encoding="utf-8", errors="replace")
    return Corpus(**splits)


def _split_of(name: str) -> str:
    """By a hash of the name, so that a file never moves because another one came or went."""
    bucket = hashlib.sha256(name.encode()).digest()[0] % 20
    return {0: "heldout", 1: "dev"}.get(bucket, "train")


def _sources(root: Path) -> Iterator[tuple[str, Path]]:
    for folder, folders, files in os.walk(root):
        # Left out here and not later: site-packages can hold ten times as many files as the library.
        folders[:] = [name for name in folders if name.isidentifier() and name not in LEFT_OUT]
        for file in files:
            path = Path(folder, file)
            generated = file.startswith("_sysconfigdata")
            if path.suffix == ".py" and not generated and path.is_file() and path.stat().st_size <= LARGEST_FILE:
                yield path.relative_to(root).as_posix(), path
