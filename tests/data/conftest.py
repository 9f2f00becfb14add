"""Smoke data whose seed is known, and a small Hub on a real port with the troubles of a real network."""

from __future__ import annotations

import hashlib
import io
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow
import pyarrow.parquet
import pytest

from runner.data import prepare_smoke
from runner.data.fetch import Fetcher
from runner.data.lock import Lock

SEED = b"a seed for tests"


@pytest.fixture(scope="session")
def seed() -> bytes:
    """Of the prepared smoke data."""
    return SEED


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the smoke data, whose seed is known."""
    folder = tmp_path_factory.mktemp("data")
    prepare_smoke(folder, SEED)
    return folder


class Hub:
    """Serves files by path; what goes wrong is set by attribute."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.ranges = True
        self.digests = True
        """Whether listings carry SHA-256, as they do for the Hub's large files."""
        self.drop_after: int | None = None
        """Bytes of a body after which the connection is cut."""
        self.flip_once: set[str] = set()
        """Paths whose first answer has one byte wrong."""
        self.flip_always: set[str] = set()
        self.refuse: list[int] = []
        """Status codes of the next answers, instead of files."""
        self.page: int | None = None
        """Entries of a page of a listing; None for all in one. With 0 every page names itself as the next."""
        self.asked: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub._answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(20)
        self._server.server_close()

    def add_parquet(self, repo: str, folder: str, rows: list[dict[str, Any]], revision: str, name: str) -> str:
        """The file's address."""
        out = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), out)
        address = f"datasets/{repo}/resolve/{revision}/{folder}/{name}".replace("//", "/")
        self.files[address] = out.getvalue()
        return address

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        target, _, query = request.path.partition("?")
        path = unquote(target).lstrip("/")
        self.asked[path] += 1
        if self.refuse:
            self._send(request, self.refuse.pop(0), b"")
        elif found := re.fullmatch(r"api/datasets/([^/]+/[^/]+)/tree/(refs/convert/parquet|main)(?:/(.+))?", path):
            listing = self._listing(*found.groups(""))
            start = int(query.removeprefix("cursor=") or 0)
            shown = listing if self.page is None else listing[start : start + self.page]
            link = {"Link": f'<https://elsewhere.example{target}?cursor={start + len(shown)}>; rel="next"'}
            more = shown != listing and (self.page == 0 or start + len(shown) < len(listing))
            self._send(request, 200 if listing else 404, json.dumps(shown).encode(), link if more else None)
        elif path in self.files:
            self._send_file(request, path)
        else:
            self._send(request, 404, b"")

    def _listing(self, repo: str, revision: str, folder: str) -> list[dict[str, Any]]:
        at = f"datasets/{repo}/resolve/{revision}/"
        return [
            {"type": "file", "path": address.removeprefix(at), "size": len(data)}
            | ({"lfs": {"oid": hashlib.sha256(data).hexdigest(), "size": len(data)}} if self.digests else {})
            for address, data in self.files.items()
            if address.startswith(f"{at}{folder}/".replace("//", "/"))
        ]

    def _send_file(self, request: BaseHTTPRequestHandler, path: str) -> None:
        data = self.files[path]
        if path in self.flip_once or path in self.flip_always:
            self.flip_once.discard(path)
            data = bytes([data[0] ^ 1]) + data[1:]
        wanted = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
        if not self.ranges or wanted is None:
            self._send(request, 200, data, path=path)
            return
        start = int(wanted[1])
        if start >= len(data):
            self._send(request, 416, b"")
            return
        content_range = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
        self._send(request, 206, data[start:], content_range, path)

    def _send(
        self,
        request: BaseHTTPRequestHandler,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        path: str | None = None,
    ) -> None:
        request.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            request.send_header(name, value)
        request.end_headers()
        sent = body if path is None or self.drop_after is None else body[: self.drop_after]
        if path is not None:
            self.sent[path] += len(sent)  # before the other end can know
        request.wfile.write(sent)
        request.close_connection = True


class Told:
    """Progress, remembered."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.done: dict[str, list[int]] = {}

    @contextmanager
    def bar(self, what: str, total: int | None) -> Iterator[Callable[[int], None]]:
        assert total is None or total >= 0
        yield self.done.setdefault(what, []).append

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = Hub()
    yield server
    server.close()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def fetcher(hub: Hub, told: Told, tmp_path: Path) -> Iterator[Fetcher]:
    with Fetcher(tmp_path / ".downloads", Lock(tmp_path), told, hub.url, pause=lambda _: None) as one:
        yield one
