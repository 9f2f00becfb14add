"""Web text as GPT-2 tokens: parts for training, dev, held-out and exams that share no document."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.data.bpe import END_OF_TEXT
from runner.data.errors import DataError
from runner.data.fetch import Fetcher
from runner.data.hub import Folder, parquet_files, read_rows
from runner.data.progress import ProgressDisplay

PARTS = ("train", "dev", "heldout", "reserve")
_SEEN = "seen"
"""Beside the parts, while they are made: the digests of documents that a part was made of and no other may have."""
_BUCKETS = 1000
_HELDOUT = 2  # of _BUCKETS: about 20M of 10B tokens, twice what an evaluation scores
_DEV = 1
_RESERVE = 30  # about 300M tokens: an exam takes 2M of them
_DIGEST = 8


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """A data set of web text on the Hub, and what of it is held out."""

    name: str
    """Of the set, and of its folder in the data folder."""
    title: str
    source: Folder
    files: int | None = None
    """How many of its files are taken beside a held-out one, from the first on; None for all."""
    last_held_out: bool = False
    """The held-out text is the last file's, whole; otherwise documents are dealt to it by their digests."""


FINEWEB = Corpus(
    name="fineweb10b", title="FineWeb", source=Folder("HuggingFaceFW/fineweb", "sample/10BT", revision="main")
)
CLIMBMIX = Corpus(
    name="climbmix",
    title="ClimbMix",
    source=Folder("karpathy/climbmix-400b-shuffle", "", revision="main"),
    files=170,  # of 6,542: about 10B tokens
    last_held_out=True,
)
CORPORA = {corpus.name: corpus for corpus in (FINEWEB, CLIMBMIX)}


def part_of(text: str, heldout: int = _HELDOUT) -> str:
    """The part that a document belongs to, by its own bytes: one that occurs twice is in the same part both times.

    `heldout` of a thousand documents are held out; 0 where that text has a file of its own.
    """
    bucket = int.from_bytes(_digest(text)) % _BUCKETS
    for part, buckets in (("heldout", heldout), ("dev", _DEV), ("reserve", _RESERVE)):
        if bucket < buckets:
            return part
        bucket -= buckets
    return "train"


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=_DIGEST).digest()


def tokenise(
    fetcher: Fetcher, corpus: Corpus, encoding: Any, folder: Path, progress: ProgressDisplay, *, keep: bool
) -> dict[str, Path]:
    """Part to its token file in `folder`: uint16, little-endian, each document followed by the end-of-text token.

    A Parquet file at a time, and each of them whole or not at all: what a broken-off call has finished is not done
    again. Unless `keep`, each is deleted when its tokens are on disk. Raises DataError.
    """
    files = parquet_files(fetcher, corpus.source)
    heldout = files[-1] if corpus.last_held_out else None
    files = [heldout, *files[:-1][: corpus.files]] if heldout is not None else files[: corpus.files]
    folder.mkdir(parents=True, exist_ok=True)
    made = _Parts(folder, [remote.url for remote in files], (*PARTS, *([_SEEN] if corpus.last_held_out else [])))
    for number, remote in enumerate(files):
        if number < made.done:
            continue
        source = fetcher.fetch(remote)
        what = f"{source.name} ({number + 1} of {len(files)}) to tokens"
        if remote is heldout:
            made.append(_tokens(encoding, source, progress, what, lambda _: "heldout", seen=True))
        else:
            made.append(_tokens(encoding, source, progress, what, _dealt(corpus, made)))
        if not keep:
            source.unlink()
    empty = [part for part in PARTS if not made.paths[part].stat().st_size]
    if empty:
        raise DataError(folder, f"{corpus.source.repo} is too small: no document of it fell to {', '.join(empty)}")
    return {part: made.paths[part] for part in PARTS}


def _dealt(corpus: Corpus, made: _Parts) -> Callable[[str], str | None]:
    """To which part a document goes; None for one that is in the held-out file too."""
    if not corpus.last_held_out:
        return part_of
    seen = made.seen()
    return lambda text: None if _digest(text) in seen else part_of(text, heldout=0)


class _Parts:
    """The token files as they grow, and on disk beside them how far each is known to be good."""

    def __init__(self, folder: Path, sources: Sequence[str], parts: Sequence[str]) -> None:
        """Takes up what is there of the same sources; raises DataError if it is of others."""
        self.paths = {part: folder / f"{part}.bin" for part in parts}
        self._state = folder / "state.json"
        self._sources = list(sources)
        self.done = 0
        sizes = dict.fromkeys(parts, 0)
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

    def seen(self) -> frozenset[bytes]:
        """The digests of the held-out file's documents."""
        digests = self.paths[_SEEN].read_bytes()
        return frozenset(digests[at : at + _DIGEST] for at in range(0, len(digests), _DIGEST))


def _tokens(
    encoding: Any,
    source: Path,
    progress: ProgressDisplay,
    what: str,
    part_for: Callable[[str], str | None],
    *,
    seen: bool = False,
) -> Iterable[dict[str, bytes]]:
    """Batches of documents as tokens, by part; with `seen`, their digests as well."""
    threads = len(os.sched_getaffinity(0))
    with progress.bar(what, None) as meter:
        done = 0
        for rows in read_rows(source, ["text"]):
            texts = [str(row["text"]) for row in rows]
            batch = {part: array("H") for part in PARTS}
            for text, tokens in zip(texts, encoding.encode_ordinary_batch(texts, num_threads=threads), strict=True):
                part = part_for(text)
                if part is not None:
                    batch[part].extend(tokens)
                    batch[part].append(END_OF_TEXT)
            if sys.byteorder == "big":
                for ids in batch.values():
                    ids.byteswap()
            found = {part: ids.tobytes() for part, ids in batch.items()}
            done += sum(map(len, found.values()))
            meter(done)
            yield {**found, _SEEN: b"".join(map(_digest, texts))} if seen else found
