"""The load: keep-alive connections that each send prepared requests one after another, as cheaply as Python can.

Reads an order as JSON from standard input, `{port, core, scripts: [[request, …] per connection], cycles}`, sends each
connection's script `cycles` times over and prints `{requests, seconds, cpu_s, latencies_us}` as JSON. Any answer but
200 ends it with status 1.
"""

from __future__ import annotations

import gc
import json
import os
import select
import socket
import sys
import time
from typing import Any


class Connection:
    def __init__(self, port: int, script: list[bytes], cycles: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._script = script
        self._left = cycles * len(script)
        self._position = 0
        self._sent_at = 0
        self._received = b""

    def send(self) -> bool:
        """The next request; False when there is none left."""
        if not self._left:
            return False
        request = self._script[self._position]
        self._position = (self._position + 1) % len(self._script)
        self._left -= 1
        self._sent_at = time.perf_counter_ns()
        self.socket.sendall(request)
        return True

    def receive(self) -> int | None:
        """Nanoseconds since the request was sent, once its answer is whole."""
        self._received += self.socket.recv(1 << 16)
        taken = time.perf_counter_ns() - self._sent_at
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator or len(body) < _content_length(head):
            return None
        if not head.startswith(b"HTTP/1.1 200"):
            sys.exit(f"{head.decode()}\n\n{body.decode()}")
        self._received = b""
        return taken


def _content_length(head: bytes) -> int:
    start = head.lower().index(b"content-length:") + len(b"content-length:")
    return int(head[start:].split(b"\r\n", 1)[0])


def run(order: dict[str, Any]) -> dict[str, Any]:
    scripts = [[request.encode() for request in script] for script in order["scripts"]]
    connections = [Connection(order["port"], script, order["cycles"]) for script in scripts]
    by_fd = {connection.socket.fileno(): connection for connection in connections}
    latencies: list[int] = []
    poller = select.epoll()
    for fd in by_fd:
        poller.register(fd, select.EPOLLIN)
    active = len(connections)
    started, cpu = time.perf_counter(), time.process_time()
    for connection in connections:
        connection.send()
    while active:
        for fd, _ in poller.poll():
            connection = by_fd[fd]
            taken = connection.receive()
            if taken is not None:
                latencies.append(taken)
                if not connection.send():
                    active -= 1
    seconds, cpu_s = time.perf_counter() - started, time.process_time() - cpu
    return {
        "requests": len(latencies),
        "seconds": seconds,
        "cpu_s": cpu_s,
        "latencies_us": [nanoseconds / 1000 for nanoseconds in latencies],
    }


if __name__ == "__main__":
    wanted = json.load(sys.stdin)
    os.sched_setaffinity(0, {wanted["core"]})
    gc.disable()
    json.dump(run(wanted), sys.stdout)
