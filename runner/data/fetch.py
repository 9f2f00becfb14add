"""Files over HTTP, in pieces where need be. What has arrived is kept; nothing counts before its SHA-256 is right."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from runner.data.errors import DataError
from runner.data.lock import Lock
from runner.data.progress import Meter, ProgressDisplay

TRIES = 6
"""How many tries in a row may bring not a single new byte."""
PAUSE_S = 1.0
"""Seconds before the second try; they double before each further one."""
CHUNK = 1 << 20
_LASTING = {400, 401, 403, 404, 405, 410, 451}
"""Answers that will be the same next time."""


@dataclass(frozen=True)
class Remote:
    """A file to fetch."""

    url: str
    size: int | None = None
    """Its size in bytes, if its host says so."""
    sha256: str | None = None
    """The digest of its bytes in hexadecimal, if it is known beforehand."""


class Fetcher:
    """Fetches files into `folder`, each under its address, until it is closed. Raises DataError."""

    def __init__(
        self,
        folder: Path,
        lock: Lock,
        progress: ProgressDisplay,
        base: str | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """`base` is scheme and host that stand in for those of every address, as of a mirror."""
        self.folder = folder
        self._lock = lock
        self._progress = progress
        self._base = None if base is None else base.rstrip("/")
        self._pause = pause
        self._client = httpx.Client(follow_redirects=True, timeout=httpx.Timeout(30.0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def listing(self, url: str) -> list[Any]:
        """The entries of the JSON array at `url`, and of those that it names as the pages after it."""
        entries: list[Any] = []
        seen: set[str] = set()
        following: str | None = url
        while following is not None:
            if following in seen:
                raise DataError(self.folder, f"{self._place(following)} names itself as a later page of itself")
            seen.add(following)
            page, following = self._page(following)
            entries += page if isinstance(page, list) else []
        return entries

    def _page(self, url: str) -> tuple[object, str | None]:
        """The JSON document at `url`, and the address of the page after it, if its host names one."""
        problem = ""
        for attempt in range(TRIES):
            if attempt:
                self._pause(PAUSE_S * 2 ** (attempt - 1))
            try:
                answer = self._client.get(self._place(url))
                if answer.is_success:
                    return answer.json(), answer.links.get("next", {}).get("url")
                problem = _told(answer)
                if answer.status_code in _LASTING:
                    break
            except (httpx.HTTPError, ValueError) as error:
                problem = _in_words(error)
        raise DataError(self.folder, f"{self._place(url)}: {problem}.{_ADVICE}")

    def fetch(self, remote: Remote) -> Path:
        """The file, whole and verified; one that is there already is only verified."""
        address = _address(remote.url)
        target = self.folder / address
        expected = self._lock.digest(address)
        if expected is not None and remote.sha256 not in (None, expected):
            raise DataError(
                target,
                f"{self._place(remote.url)} has changed: it was {expected} when first fetched and is {remote.sha256} "
                f"now. Remove its entry from {self._lock.path} to accept that, and what was made of it",
            )
        expected = expected or remote.sha256
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(target.name + ".partial")
        if target.exists():  # from before, or laid there by hand
            target.replace(partial)
        else:
            self._complete(remote, partial)
        found = sha256_of(partial)
        if expected not in (None, found):
            self._progress.say(f"{target.name} is damaged: fetching it again")
            partial.unlink()
            self._complete(remote, partial)
            found = sha256_of(partial)
        if expected not in (None, found):
            partial.unlink()
            raise DataError(
                target,
                f"{self._place(remote.url)} arrived with SHA-256 {found} when {expected} was expected, and that twice. "
                "Something on the way changes it, or its source did: try again, or another mirror with --from",
            )
        partial.replace(target)
        self._lock.record(address, found)
        return target

    def _complete(self, remote: Remote, partial: Path) -> None:
        """Fetch what is missing of `partial`."""
        name = partial.name.removesuffix(".partial")
        with self._progress.bar(name, remote.size) as meter:
            idle = 0
            while True:
                before = partial.stat().st_size if partial.exists() else 0
                if remote.size is not None and before == remote.size:
                    return
                try:
                    if self._continue(remote, partial, before, meter):
                        return
                    problem = "the connection ended early"
                except _Lasting as error:
                    raise DataError(partial, f"{self._place(remote.url)}: {error}.{_ADVICE}") from error
                except httpx.HTTPError as error:
                    problem = _in_words(error)
                except OSError as error:
                    raise DataError(partial, error.strerror or str(error)) from error
                grown = partial.exists() and partial.stat().st_size > before
                idle = 0 if grown else idle + 1
                if idle == TRIES:
                    raise DataError(partial, f"{self._place(remote.url)}: {problem}.{_ADVICE}")
                self._pause(PAUSE_S * 2 ** max(idle - 1, 0))

    def _continue(self, remote: Remote, partial: Path, have: int, meter: Meter) -> bool:
        """One request for the rest; True if the file is whole afterwards."""
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with self._client.stream("GET", self._place(remote.url), headers=headers) as answer:
            if answer.status_code in _LASTING:
                raise _Lasting(_told(answer))
            if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                # Nothing is left, or what we have is of another file: the digest will tell, if there is one.
                if remote.size is None and have:
                    return True
                partial.unlink(missing_ok=True)
                return False
            answer.raise_for_status()
            start = _start(answer)
            if start not in (0, have):
                partial.unlink(missing_ok=True)
                return False
            length = answer.headers.get("content-length", "")
            total = start + int(length) if length.isdecimal() else remote.size
            with partial.open("r+b" if start else "wb") as file:
                file.seek(start)
                for chunk in answer.iter_raw():  # as it comes: what is held back for a larger one would be lost
                    file.write(chunk)
                    meter(file.tell())
                done = file.tell()
        if remote.size is not None and done > remote.size:
            partial.unlink()
            return False
        return done == (remote.size or total or done)

    def _place(self, url: str) -> str:
        return url if self._base is None else f"{self._base}/{_address(url)}"


class _Lasting(Exception):
    pass


_ADVICE = (
    " Whatever has arrived is kept: run the same command again to go on. Without internet, name a mirror with --from, "
    "or run it on a host that has internet and copy the data folder."
)


def sha256_of(path: Path, meter: Meter | None = None) -> str:
    """Hex digest of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            if meter is not None:
                meter(file.tell())
    return digest.hexdigest()


def _address(url: str) -> str:
    return re.sub(r"^https?://[^/]+/", "", url)


def _start(answer: httpx.Response) -> int:
    """Where the body begins in the file: a server that knows no ranges sends all of it."""
    if answer.status_code != httpx.codes.PARTIAL_CONTENT:
        return 0
    found = re.match(r"bytes (\d+)-", answer.headers.get("content-range", ""))
    return int(found[1]) if found else -1


def _told(answer: httpx.Response) -> str:
    return f"the server answers {answer.status_code} {answer.reason_phrase}"


def _in_words(error: Exception) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return _told(error.response)
    return str(error) or type(error).__name__
