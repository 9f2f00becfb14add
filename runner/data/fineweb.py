"""FineWeb (10B-token sample) as GPT-2 tokens: parts for training, dev, held-out and exams that share no document."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from runner.data.bpe import END_OF_TEXT
from runner.data.errors import DataError
from runner.data.fetch import Fetcher
from runner.data.hub import Folder, parquet_files, read_rows
from runner.data.progress import ProgressDisplay

SOURCE = Folder("HuggingFaceFW/fineweb", "sample/10BT", revision="main")
PARTS = ("train", "dev", "heldout", "reserve")
_BUCKETS = 1000
_HELDOUT = 2  # of _BUCKETS: about 20M of 10B tokens, twice what an evaluation scores
_DEV = 1
_RESERVE = 30  # about 300M tokens: an exam takes 2M of them


def part_of(text: str) -> str:
    """The part that a document belongs to, by its own bytes: one that occurs twice is in the same part both times."""
    bucket = int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()) % _BUCKETS
    for part, buckets in (("heldout", _HELDOUT), ("dev", _DEV), ("reserve", _RESERVE)):
        if bucket < buckets:
            return part
        bucket -= buckets
    return "train"


def tokenise(
    fetcher: Fetcher, encoding: Any, folder: Path, progress: ProgressDisplay, *, keep: bool
) -> dict[str, Path]:
    """Part to its token file in `folder`: uint16, little-endian, each document followed by the end-of-text token.

    A Parquet file at a time, and each of them whole or not at all: what a broken-off call has finished is not done
    again. Unless `keep`, each is deleted when its tokens are on disk. Raises DataError.
    """
    files = parquet_files(fetcher, SOURCE)
    folder.mkdir(parents=True, exist_ok=True)
    made = _Parts(folder, [remote.url for remote in files])
    for number, remote in enumerate(files):
        if number < made.done:
            continue
        source = fetcher.fetch(remote)
        made.append(_tokens(encoding, source, progress, f"{source.name} ({number + 1} of {len(files)}) to tokens"))
        if not keep:
            source.unlink()
    empty = [part for part, path in made.paths.items() if not path.stat().st_size]
    if empty:
        raise DataError(folder, f"{SOURCE.repo} is too small: no document of it fell to {', '.join(empty)}")
    return made.paths


class _Parts:
    """The token files as they grow, and on disk beside them how far each is known to be good."""

    def __init__(self, folder: Path, sources: Sequence[str]) -> None:
        """Takes up what is there of the same sources; raises DataError if it is of others."""
        self.paths = {part: folder / f"{part}.bin" for part in PARTS}
        self._state = folder / "state.json"
        self._sources = list(sources)
        self.done = 0
        sizes = dict.fromkeys(PARTS, 0)
        if self._state.exists():
            state = json.loads(self._state.read_text(encoding="utf-8"))
            if state["sources"] != self._sources:
                raise DataError(folder, f"was begun with other files than there are now; remove {folder} to start over")
            if state["bytes"].keys() != sizes.keys():
                raise DataError(folder, f"was begun by a version with other parts; remove {folder} to start over")
            self.done, sizes = state["done"], state["bytes"]
        for part, path in self.paths.items():
            with path.open("ab") as file:
                file.truncate(sizes[part])

    def append(self, batches: Iterable[dict[str, bytes]]) -> None:
        """The tokens of the next source, all of them."""
        files = {part: path.open("ab") for part, path in self.paths.items()}
        try:
            for batch in batches:
                for part, tokens in batch.items():
                    files[part].write(tokens)
            for file in files.values():
                file.flush()
                os.fsync(file.fileno())
        finally:
            for file in files.values():
                file.close()
        self.done += 1
        sizes = {part: path.stat().st_size for part, path in self.paths.items()}
        fresh = self._state.with_suffix(".fresh")
        fresh.write_text(json.dumps({"sources": self._sources, "done": self.done, "bytes": sizes}), encoding="utf-8")
        fresh.replace(self._state)


def _tokens(encoding: Any, source: Path, progress: ProgressDisplay, what: str) -> Iterable[dict[str, bytes]]:
    """Batches of documents as tokens, by part."""
    threads = len(os.sched_getaffinity(0))
    with progress.bar(what, None) as meter:
        done = 0
        for rows in read_rows(source, ["text"]):
            texts = [str(row["text"]) for row in rows]
            batch = {part: array("H") for part in PARTS}
            for text, tokens in zip(texts, encoding.encode_ordinary_batch(texts, num_threads=threads), strict=True):
                part = batch[part_of(text)]
                part.extend(tokens)
                part.append(END_OF_TEXT)
            if sys.byteorder == "big":
                for ids in batch.values():
                    ids.byteswap()
            found = {part: ids.tobytes() for part, ids in batch.items()}
            done += sum(map(len, found.values()))
            meter(done)
            yield found
