"""Filling the data folder: each set by name, each made once, whole or not there."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runner.data.benchmarks import LAMBADA, LM_EVAL, WIKITEXT2, prepare_benchmark
from runner.data.bpe import FILES, FOLDER, cache_name, load_encoding, prepare_tokenizer
from runner.data.corpora import CORPORA, FINEWEB, PARTS, Corpus, tokenise
from runner.data.errors import DataError
from runner.data.exam import RESERVE as RESERVE_FOLDER
from runner.data.exam import RESERVE_FILE
from runner.data.fetch import Fetcher, sha256_of
from runner.data.lock import Lock
from runner.data.progress import ProgressDisplay
from runner.data.smoke import prepare_smoke

_BENCHMARKS = {"wikitext2": (WIKITEXT2,), "lambada": (LAMBADA,), "lm-eval": LM_EVAL}
SETS = ("smoke", *_BENCHMARKS, *CORPORA)  # the longest last
TOKENIZER_FILES = tuple(f"{FOLDER}/{cache_name(remote.url)}" for remote in FILES)


def train_folder(corpus: str) -> str:
    """The data folder with the training and dev text of one of CORPORA."""
    return f"{corpus}/train"


def heldout_folder(corpus: str) -> str:
    """The data folder with everything that an evaluation reads beside one of CORPORA."""
    return f"{corpus}/heldout"


def reserve_folder(corpus: str) -> str:
    """The data folder with the text that exams are drawn from."""
    return f"{corpus}/{RESERVE_FOLDER}"


_OF_EVALUATIONS = (
    "heldout.bin",
    *TOKENIZER_FILES,
    *(benchmark.file for group in _BENCHMARKS.values() for benchmark in group),
)
EXPECTED = {
    folder: files
    for corpus in CORPORA
    for folder, files in (
        (train_folder(corpus), ("train.bin", "dev.bin")),
        (heldout_folder(corpus), _OF_EVALUATIONS),
        (reserve_folder(corpus), (RESERVE_FILE,)),
    )
}
"""Data folder to the files that the full-scale runs read there."""
HOW_TO_GET_A_RESERVE = (
    "it was made before there were reserves: to have one, move its data set out of the data folder and prepare it again"
)
_META = "meta.json"


def missing(data_dir: Path, name: str) -> list[str]:
    """Files that the data folder `name` should have and has not; none for a folder that is not one of EXPECTED."""
    return [file for file in EXPECTED.get(name, ()) if not (data_dir / name / file).is_file()]


def needed_for(corpus: str) -> tuple[str, ...]:
    """All SETS that a scale which reads one of CORPORA needs, and smoke."""
    return ("smoke", *_BENCHMARKS, corpus)


def prepare(
    data_dir: Path,
    sets: Sequence[str],
    progress: ProgressDisplay,
    base: str | None = None,
    *,
    keep: bool = False,
    corpus: str = FINEWEB.name,
) -> None:
    """Make the `sets` (of SETS) that are not there yet. May be broken off at any moment and called again.

    `base` names a mirror (scheme and host) for everything that is fetched; `keep` keeps the files of web text when they
    are tokenised; evaluation sets go beside `corpus`, one of CORPORA. Raises DataError.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with _alone(data_dir), Fetcher(data_dir / ".downloads", Lock(data_dir), progress, base) as fetcher:
            for name in sets:
                if name == "smoke":
                    prepare_smoke(data_dir)
                elif name in CORPORA:
                    heldout = data_dir / heldout_folder(name)
                    for path in prepare_tokenizer(fetcher, heldout):
                        _note(heldout, path)
                    prepare_corpus(data_dir, CORPORA[name], fetcher, load_encoding(heldout), progress, keep=keep)
                else:
                    _benchmarks(data_dir / heldout_folder(corpus), name, fetcher)
                progress.say(f"{name}: ready")
    except OSError as error:
        raise DataError(data_dir, error.strerror or str(error)) from error


def _benchmarks(heldout: Path, name: str, fetcher: Fetcher) -> None:
    for benchmark in _BENCHMARKS[name]:
        if not (heldout / benchmark.file).is_file():
            _note(heldout, prepare_benchmark(fetcher, benchmark, heldout))


def prepare_corpus(
    data_dir: Path, corpus: Corpus, fetcher: Fetcher, encoding: Any, progress: ProgressDisplay, *, keep: bool
) -> None:
    """Make train.bin, dev.bin, heldout.bin and reserve.bin in `encoding` (tiktoken's). Raises DataError.

    Nothing is made where the first three are there. What an earlier version made so has no reserve, and gets none: the
    documents that would be in it have been trained on.
    """
    heldout, train = data_dir / heldout_folder(corpus.name), data_dir / train_folder(corpus.name)
    places = {"train": train / "train.bin", "dev": train / "dev.bin", "heldout": heldout / "heldout.bin"}
    if all(place.is_file() for place in places.values()):
        if missing(data_dir, reserve_folder(corpus.name)):
            progress.say(f"{corpus.name} has no reserve, so its results get no certificate; {HOW_TO_GET_A_RESERVE}")
        return
    places["reserve"] = data_dir / reserve_folder(corpus.name) / RESERVE_FILE
    making = data_dir / ".making" / corpus.name
    if not (making / "whole").exists():
        tokenise(fetcher, corpus, encoding, making, progress, keep=keep)
        (making / "whole").touch()  # from here on the parts only move to their places
    for part in PARTS:
        made, place = making / f"{part}.bin", places[part]
        if part == "reserve" and not made.exists() and not place.exists():
            continue  # an earlier version, which left none, was stopped on its last steps
        place.parent.mkdir(parents=True, exist_ok=True)
        if made.exists():
            made.replace(place)
        with progress.bar(f"SHA-256 of {place.name}", place.stat().st_size) as meter:
            _note(place.parent, place, sha256_of(place, meter))
    shutil.rmtree(making)


def _note(folder: Path, path: Path, sha256: str | None = None) -> None:
    """Write down in the folder's meta.json what `path` holds."""
    meta = folder / _META
    try:
        files = json.loads(meta.read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError):
        files = {}
    name = path.relative_to(folder).as_posix()
    files[name] = {"bytes": path.stat().st_size, "sha256": sha256 or sha256_of(path)}
    fresh = folder / f".{_META}"
    fresh.write_text(json.dumps({"files": dict(sorted(files.items()))}, indent=1) + "\n", encoding="utf-8")
    fresh.replace(meta)


@contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    """One preparation at a time: two would write the same partial files."""
    lock = os.open(data_dir / ".preparing", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(data_dir, "another `ringfence data prepare` is at work here; let it finish") from None
        yield
    finally:
        os.close(lock)
