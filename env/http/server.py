"""The HTTP server of a wired service."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import socket
import sys
from collections.abc import Sequence

import uvicorn

from env.http.app import create_app
from env.http.connection import BoundedConnection
from env.http.rates import is_loopback
from env.service.rates import Connections
from env.service.service import Service

GRACE_S = 3
"""For answers under way when the service is told to stop."""
SWITCH_S = 0.0005
"""How long a long read's thread keeps the interpreter while the service's own waits for it, many times in a call."""


class Server(uvicorn.Server):
    """Stops without waiting for those who wait for a test."""

    def __init__(self, service: Service, root_path: str = "", proxies: Sequence[str] = ()) -> None:
        """`root_path`: its prefix at a proxy. `proxies`: addresses of those whose forwarded headers are believed."""
        limits, trusted = service.rates, [ipaddress.ip_network(proxy) for proxy in proxies if proxy != "*"]

        def is_free(address: str) -> bool:
            """Whether many callers may come from there: a proxy before the service, and what runs on this host."""
            if is_loopback(address) and not limits.on_loopback:
                return True
            return "*" in proxies or any(ipaddress.ip_address(address) in network for network in trusted)

        class CountedConnection(BoundedConnection):
            """A connection to this server."""

            by_address = Connections(limits.connections, is_free)

        config = uvicorn.Config(
            create_app(service, root_path),
            proxy_headers=bool(proxies),
            forwarded_allow_ips=list(proxies),
            log_config=None,  # its loggers pass on to ours
            log_level="warning",
            access_log=False,
            http=CountedConnection,
            timeout_graceful_shutdown=GRACE_S,
        )
        super().__init__(config)
        self._lifecycle = service.lifecycle

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # What is loaded by now stays: no garbage collection needs to walk through it again.
        gc.collect()
        gc.freeze()
        sys.setswitchinterval(SWITCH_S)

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:  # once a second
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                assert isinstance(connection, BoundedConnection)
                connection.give_up_if_late(now)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._lifecycle.dismiss()
        await super().shutdown(sockets)
