"""The smoke data: byte tokens and small evaluation sets, in a language and in texts that no sandbox knows."""

from __future__ import annotations

import fcntl
import hashlib
import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from runner.data.author import SmokeDocument, write
from runner.data.errors import DataError
from runner.data.items import evaluation_sets

FORMAT = 3
"""Goes up when the same seed would give other data: what an older format left is made anew."""
TRAIN, DEV, HELDOUT = 4_000_000, 250_000, 80_000
"""Bytes, about: many times what a training reads, and a little more than an evaluation scores."""


def is_prepared(data_dir: Path, name: str) -> bool:
    """Whether the data folder `name` (`smoke/train`) is there, complete and of the present format."""
    try:
        meta = json.loads((data_dir / name / "meta.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return not name.startswith("smoke/") or meta.get("format") == FORMAT


def prepare_smoke(data_dir: Path, seed: bytes | None = None) -> None:
    """Make `smoke/train` and `smoke/heldout` unless they are there. Raises DataError.

    `smoke/train` holds train.bin and dev.bin, `smoke/heldout` heldout.bin: uint16 little-endian, one token per byte.
    `smoke/heldout` also holds the evaluation sets, JSON lines. Each has a meta.json. Both appear at once, and complete;
    several processes may do this at a time. The texts are drawn with `seed`, by default a fresh one that is kept in
    `smoke/heldout` only: folders differ in their texts, not in their language.
    """
    if _all_prepared(data_dir):
        return
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with _alone_in(data_dir):
            if not _all_prepared(data_dir):  # by whoever was here before
                made = data_dir / ".smoke-new"
                shutil.rmtree(made, ignore_errors=True)  # what a killed process left
                _make(made, seed or secrets.token_bytes(32))
                _put_in_place(made, data_dir / "smoke")
    except OSError as error:
        raise DataError(data_dir, error.strerror or str(error)) from error


def _all_prepared(data_dir: Path) -> bool:
    return is_prepared(data_dir, "smoke/train") and is_prepared(data_dir, "smoke/heldout")


@contextmanager
def _alone_in(data_dir: Path) -> Iterator[None]:
    """One process at a time; the lock ends with the process."""
    with (data_dir / ".smoke-lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(folder: Path, seed: bytes) -> None:
    train, heldout = folder / "train", folder / "heldout"
    train.mkdir(parents=True)
    trained_on = [
        _write_tokens(train / "train.bin", write(_stream(seed, "train"), TRAIN)),
        _write_tokens(train / "dev.bin", write(_stream(seed, "dev"), DEV)),
    ]
    _write_meta(train, {"documents": sum(trained_on)})

    heldout.mkdir()
    documents = list(write(_stream(seed, "heldout"), HELDOUT))
    _write_tokens(heldout / "heldout.bin", iter(documents))

    def documents_of(name: str) -> list[SmokeDocument]:
        return list(write(_stream(seed, name), HELDOUT))

    for name, items in evaluation_sets(documents_of, Random(_stream(seed, "questions"))).items():
        (heldout / name).write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
    _write_meta(heldout, {"documents": len(documents), "seed": seed.hex()})


def _stream(seed: bytes, name: str) -> bytes:
    """A split's own seed. Who works out that of the training text from the text knows neither `seed` nor the others."""
    return hashlib.sha256(seed + name.encode()).digest()


def _write_tokens(path: Path, documents: Iterator[SmokeDocument]) -> int:
    """A line each. Returns how many."""
    lines = [f"{document}\n" for document in documents]
    path.write_bytes(byte_tokens("".join(lines)))
    return len(lines)


def byte_tokens(text: str) -> bytes:
    """A token for each byte of the text: uint16, little-endian."""
    ids = text.encode()
    tokens = bytearray(2 * len(ids))
    tokens[::2] = ids
    return bytes(tokens)


def _write_meta(folder: Path, facts: dict[str, object]) -> None:
    """Last of all files: its presence says that the folder is complete."""
    written = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    meta = {
        "format": FORMAT,
        **facts,
        "bytes": {name: len(data) for name, data in written.items()},
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in written.items()},
    }
    (folder / "meta.json").write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")


def _put_in_place(made: Path, target: Path) -> None:
    """Rename `made` to `target`, in the place of what an older format left there."""
    outdated = target.with_name(".smoke-old")
    shutil.rmtree(outdated, ignore_errors=True)
    if target.exists():
        target.rename(outdated)
    made.rename(target)
    shutil.rmtree(outdated, ignore_errors=True)
