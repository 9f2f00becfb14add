"""The HTTP server of a wired service."""

from __future__ import annotations

import gc
import socket
from collections.abc import Sequence

import uvicorn

from env.http.app import create_app
from env.http.connections import BoundedConnection
from env.http.rates import Rates
from env.service.service import Service

GRACE_S = 3
"""For answers under way when the service is told to stop."""


class Server(uvicorn.Server):
    """Stops without waiting for those who wait for a test."""

    def __init__(
        self, service: Service, rates: Rates | None = None, root_path: str = "", proxies: Sequence[str] = ()
    ) -> None:
        """`root_path`: its prefix at a proxy. `proxies`: addresses of those whose forwarded headers are believed."""
        config = uvicorn.Config(
            create_app(service, rates, root_path),
            http=BoundedConnection,
            proxy_headers=bool(proxies),
            forwarded_allow_ips=list(proxies),
            log_config=None,  # its loggers pass on to ours
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=GRACE_S,
        )
        super().__init__(config)
        self._lifecycle = service.lifecycle

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # What is loaded by now stays: no garbage collection needs to walk through it again.
        gc.collect()
        gc.freeze()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._lifecycle.dismiss()
        await super().shutdown(sockets)
