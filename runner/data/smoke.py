"""The smoke data: byte tokens and small evaluation sets, made on the spot from what every machine has."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from random import Random

from runner.data.corpus import read_corpus
from runner.data.errors import DataError
from runner.data.items import evaluation_sets

FORMAT = 1
"""Goes up when the same Python would get other data."""
EXCERPT = 1600
"""Characters of each held-out file in heldout.bin: many files, and still scored in a second."""


def is_prepared(data_dir: Path, name: str) -> bool:
    """Whether the data folder `name` (`smoke/train`) is there, complete and of the present format."""
    try:
        meta = json.loads((data_dir / name / "meta.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return not name.startswith("smoke/") or meta.get("format") == FORMAT


def prepare_smoke(data_dir: Path) -> None:
    """Make `smoke/train` and `smoke/heldout` unless they are there. Raises DataError.

    `smoke/train` holds train.bin and dev.bin, `smoke/heldout` heldout.bin: uint16 little-endian, one token per UTF-8
    byte. `smoke/heldout` also holds the evaluation sets, JSON lines. Each has a meta.json. Both appear at once, and
    complete; several processes may do this at a time.
    """
    if is_prepared(data_dir, "smoke/train") and is_prepared(data_dir, "smoke/heldout"):
        return
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=data_dir, prefix=".smoke-") as scratch:
            made = Path(scratch, "made")  # a folder of its own: the temporary one is private to this user
            _make(made)
            _put_in_place(made, data_dir / "smoke", Path(scratch, "outdated"))
    except OSError as error:
        raise DataError(data_dir, error.strerror or str(error)) from error


def _make(folder: Path) -> None:
    corpus = read_corpus()
    train, heldout = folder / "train", folder / "heldout"
    train.mkdir(parents=True)
    _write_tokens(train / "train.bin", corpus.train.values())
    _write_tokens(train / "dev.bin", corpus.dev.values())
    _write_meta(train, len(corpus.train) + len(corpus.dev))

    heldout.mkdir()
    _write_tokens(heldout / "heldout.bin", (_excerpt(text) for text in corpus.heldout.values()))
    for name, items in evaluation_sets(corpus.heldout.values(), Random("smoke")).items():
        (heldout / name).write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
    _write_meta(heldout, len(corpus.heldout))


def _excerpt(text: str) -> str:
    """From the middle: many files begin with the same notices."""
    start = max(0, (len(text) - EXCERPT) // 2)
    return text[start : start + EXCERPT]


def _write_tokens(path: Path, texts: Iterable[str]) -> None:
    ids = "\n".join(texts).encode()
    tokens = bytearray(2 * len(ids))
    tokens[::2] = ids  # the low byte of each uint16
    path.write_bytes(tokens)


def _write_meta(folder: Path, files: int) -> None:
    """Last of all files: its presence says that the folder is complete."""
    written = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    meta = {
        "format": FORMAT,
        "python": platform.python_version(),
        "source_files": files,
        "bytes": {name: len(data) for name, data in written.items()},
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in written.items()},
    }
    (folder / "meta.json").write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")


def _put_in_place(made: Path, target: Path, outdated: Path) -> None:
    """Rename `made` to `target`. Another process may be doing the same; whose folder stays does not matter."""
    try:
        made.rename(target)
    except OSError:
        if is_prepared(target.parent, "smoke/train") and is_prepared(target.parent, "smoke/heldout"):
            return
        target.rename(outdated)
        made.rename(target)
        shutil.rmtree(outdated, ignore_errors=True)
