"""GPT-2's tokenizer files for sandboxes without internet, as tiktoken looks for them in TIKTOKEN_CACHE_DIR."""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
from pathlib import Path
from typing import Any

from runner.data.errors import DataError
from runner.data.fetch import Fetcher, Remote, sha256_of

FOLDER = "tokenizer"
"""The folder of the tokenizer within that of the held-out data, where the evaluator looks for it."""
END_OF_TEXT = 50256
_FROM = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main"
# The digests are those that tiktoken itself holds the files against.
FILES = (
    Remote(f"{_FROM}/vocab.bpe", sha256="1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"),
    Remote(f"{_FROM}/encoder.json", sha256="196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783"),
)


def cache_name(url: str) -> str:
    """What tiktoken calls the file from `url` in its cache."""
    return hashlib.sha1(url.encode(), usedforsecurity=False).hexdigest()


def prepare_tokenizer(fetcher: Fetcher, heldout: Path) -> list[Path]:
    """Lay the files into `heldout/tokenizer`; their paths. Raises DataError."""
    folder = heldout / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    placed = []
    for remote in FILES:
        place = folder / cache_name(remote.url)
        placed.append(place)
        if place.is_file() and sha256_of(place) == remote.sha256:
            continue
        fresh = place.with_name(f".{place.name}")
        shutil.copyfile(fetcher.fetch(remote), fresh)
        fresh.replace(place)
    return placed


def load_encoding(heldout: Path) -> Any:
    """tiktoken's GPT-2 encoding from the files in `heldout/tokenizer`. Raises DataError."""
    try:
        tiktoken: Any = importlib.import_module("tiktoken")
    except ImportError as error:
        raise DataError(heldout, "it needs the package tiktoken: pip install 'ringfence[data]'") from error
    os.environ["TIKTOKEN_CACHE_DIR"] = str(heldout / FOLDER)
    return tiktoken.get_encoding("gpt2")
