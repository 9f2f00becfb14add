"""Data sets of the Hugging Face Hub: which files they have, by its public API, with the digests it keeps of them."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from runner.data.errors import DataError
from runner.data.fetch import Fetcher, Remote

HUB = "https://huggingface.co"
CONVERTED = "refs/convert/parquet"
"""The branch on which the Hub keeps each data set as Parquet, one folder per configuration and split."""


@dataclass(frozen=True)
class Folder:
    """A folder with Parquet files in a data set's repository."""

    repo: str
    path: str
    revision: str = CONVERTED

    @property
    def listing_url(self) -> str:
        return f"{HUB}/api/datasets/{self.repo}/tree/{quote(self.revision, safe='')}/{quote(self.path)}"

    def file_url(self, path: str) -> str:
        return f"{HUB}/datasets/{self.repo}/resolve/{quote(self.revision, safe='')}/{quote(path)}"


def parquet_files(fetcher: Fetcher, folder: Folder) -> list[Remote]:
    """The folder's Parquet files by name, at least one. Raises DataError."""
    listing = fetcher.listing(folder.listing_url)
    try:
        assert isinstance(listing, list)
        found = [
            Remote(folder.file_url(item["path"]), item["size"], (item.get("lfs") or {}).get("oid"))
            for item in sorted(listing, key=lambda item: str(item["path"]))
            if str(item["path"]).endswith(".parquet")
        ]
    except (AssertionError, KeyError, TypeError, AttributeError):
        found = []
    if not found:
        raise DataError(fetcher.folder, f"{folder.listing_url} lists no Parquet files; the data set may have moved")
    return found
