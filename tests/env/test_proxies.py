"""A service behind a reverse proxy that has given it a prefix, and what may be said about proxies."""

from __future__ import annotations

import http.client
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

from tests.support.service import COMMAND, TASK, Agent, Serve, Server


@contextmanager
def proxy(server: Server, prefix: str, strips: bool) -> Iterator[str]:
    """A proxy on a port of its own, which hands on what begins with the prefix, and answers 404 to all else."""
    to = urlsplit(server.url)
    assert to.hostname is not None

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def do_GET(self) -> None:
            if not self.path.startswith(prefix + "/"):
                self.send_error(404)
                return
            onward = http.client.HTTPConnection(to.hostname or "", to.port, timeout=60)
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            path = self.path.removeprefix(prefix) if strips else self.path
            onward.request(self.command, path, body, dict(self.headers.items()))
            answer = onward.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.end_headers()
            while chunk := answer.read1(65536):
                self.wfile.write(chunk)
                self.wfile.flush()
            onward.close()

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_address[1]}{prefix}"
    finally:
        listening.shutdown()
        thread.join(30)
        listening.server_close()


@pytest.mark.parametrize("strips", [True, False])
def test_every_link_of_every_page_is_right_below_a_prefix(serve: Serve, strips: bool) -> None:
    server = serve("--runner", "fake", "--key", "k", "--root-path", "/lab/ringfence", "--proxy", "127.0.0.1")
    with proxy(server, "/lab/ringfence", strips) as url, httpx.Client(timeout=60, trust_env=False) as http:
        key = {"Authorization": "Bearer k"}
        opened = http.post(f"{url}/v1/sessions", json={"task": TASK, "agent": "a"}, headers=key).json()
        agent = Agent(server, opened)
        agent.post("/test?wait=30")
        agent.call("submit", {"n": 1})
        seen: set[str] = set()
        waiting = [f"{url}/", f"{url}/docs", f"{url}/sessions/{agent.id}", f"{url}/tasks/nothing"]
        while waiting:
            page = waiting.pop()
            answer = http.get(page)
            assert answer.status_code == (404 if page.endswith("nothing") else 200), page
            if not answer.headers["content-type"].startswith("text/html"):
                continue
            for link in re.findall(r'(?:href|src)="([^"#]+)', answer.text):
                there = urljoin(page, link.replace("&amp;", "&"))
                if there not in seen:
                    seen.add(there)
                    if len(seen) < 40:
                        waiting.append(there)
        assert all(link.startswith(f"{url}/") for link in seen)
        assert {f"{url}/tasks/{TASK}", f"{url}/v1/sessions/{agent.id}", f"{url}/v1/results/{agent.id}-1"} <= seen
        assert http.get(f"{url}/openapi.json").json()["servers"] == [{"url": "/lab/ringfence"}]


def test_the_page_about_the_api_loads_nothing_from_elsewhere(shared: Server) -> None:
    with shared.client() as client:
        page = client.get("/docs")
        assert client.get("/redoc").status_code == 404
    assert page.status_code == 200
    assert "POST /v1/sessions/{session_id}/edit" in page.text
    assert "must occur exactly once" in page.text
    assert not re.search(r'(?:href|src)="(?:https?:)?//', page.text)
    assert "default-src 'none'" in page.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--root-path", "ringfence/"], "is no prefix"),
        (["--proxy", "proxy.example", "--key", "k"], "is no address or network"),
        (["--proxy", "127.0.0.1"], "without operator keys"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_the_start(options: list[str], told: str) -> None:
    command = [*COMMAND, "serve", "--runner", "fake", "--port", "0", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert told in done.stderr
