"""Data sets of the Hugging Face Hub: their Parquet files, as its public API lists them, and their rows."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from runner.data.errors import DataError
from runner.data.fetch import Fetcher, Remote

HUB = "https://huggingface.co"
CONVERTED = "refs/convert/parquet"
"""The branch on which the Hub keeps each data set as Parquet, one folder per configuration and split."""
ROWS = 1024
"""Rows of a file at once: a few megabytes of web text."""


@dataclass(frozen=True)
class Folder:
    """A folder with Parquet files in a data set's repository; its path is empty for the repository's root."""

    repo: str
    path: str
    revision: str = CONVERTED

    @property
    def listing_url(self) -> str:
        return f"{HUB}/api/datasets/{self.repo}/tree/{quote(self.revision, safe='')}/{quote(self.path)}".rstrip("/")

    def file_url(self, path: str) -> str:
        return f"{HUB}/datasets/{self.repo}/resolve/{quote(self.revision, safe='')}/{quote(path)}"


def parquet_files(fetcher: Fetcher, folder: Folder) -> list[Remote]:
    """The folder's Parquet files by name, at least one. Raises DataError."""
    listing = fetcher.listing(folder.listing_url)
    try:
        found = [
            Remote(folder.file_url(item["path"]), item["size"], (item.get("lfs") or {}).get("oid"))
            for item in sorted(listing, key=lambda item: str(item["path"]))
            if str(item["path"]).endswith(".parquet")
        ]
    except (KeyError, TypeError, AttributeError):
        found = []
    if not found:
        raise DataError(fetcher.folder, f"{folder.listing_url} lists no Parquet files; the data set may have moved")
    return found


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
    """The rows of a Parquet file in batches, as dictionaries with `columns`. Raises DataError."""
    try:
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise DataError(path, "it needs the package pyarrow: pip install 'ringfence[data]'") from error
    try:
        with parquet.ParquetFile(path) as file:
            missing = sorted(set(columns) - set(file.schema_arrow.names))
            if missing:
                raise DataError(
                    path, f"has no column {', '.join(missing)}; it has {', '.join(file.schema_arrow.names)}"
                )
            for batch in file.iter_batches(ROWS, columns=list(columns)):
                yield batch.to_pylist()
    except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError
        raise DataError(path, f"cannot be read as Parquet: {error}") from error
