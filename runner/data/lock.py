"""The lock file of a data folder: what was fetched from where, and its SHA-256.

Recorded at the first fetch and held against every later one. Copied to another host before its first fetch, it makes
sure that both have the same data.
"""

from __future__ import annotations

import json
from pathlib import Path

from runner.data.errors import DataError

NAME = "sources.lock.json"


class Lock:
    """Addresses, without their host so that mirrors share a lock, to SHA-256. Kept on disk from `record` on."""

    def __init__(self, data_dir: Path) -> None:
        """Raises DataError for a file that is no lock."""
        self.path = data_dir / NAME
        try:
            self._digests: dict[str, str] = dict(json.loads(self.path.read_text(encoding="utf-8"))["sha256"])
        except FileNotFoundError:
            self._digests = {}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(self.path, f"not a lock file ({error}); restore it, or remove it to fetch anew") from error

    def digest(self, address: str) -> str | None:
        return self._digests.get(address)

    def record(self, address: str, sha256: str) -> None:
        self._digests[address] = sha256
        text = json.dumps({"sha256": dict(sorted(self._digests.items()))}, indent=1) + "\n"
        fresh = self.path.with_name(f".{NAME}")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(self.path)
