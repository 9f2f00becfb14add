"""The way to the MCP endpoint, which is made when it is first called."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from env.service.service import Service

if TYPE_CHECKING:
    from env.mcp.server import McpEndpoint


class McpRoute:
    """Passes requests on to an McpEndpoint. The protocol's library takes as long to import as a fourth of all else that
    a start takes, and many services are never asked over MCP: the first call waits for it, and nobody else does."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._endpoint: asyncio.Future[McpEndpoint] | None = None
        self._serving: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """To be entered for as long as calls are to be answered."""
        try:
            yield
        finally:
            if self._serving is not None:
                self._serving.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._serving

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._endpoint is None:
            self._endpoint = asyncio.get_running_loop().create_future()
            self._serving = asyncio.create_task(self._serve(self._endpoint))
        # Shielded: others wait for it too.
        await (await asyncio.shield(self._endpoint))(scope, receive, send)

    async def _serve(self, made: asyncio.Future[McpEndpoint]) -> None:
        try:
            endpoint = (await asyncio.to_thread(_import_endpoint))(self._service)
            async with endpoint.run():
                made.set_result(endpoint)
                await asyncio.Event().wait()  # until it is cancelled
        finally:
            if not made.done():  # whoever waits is told, and the next call tries again
                self._endpoint = None
                made.set_exception(RuntimeError("the MCP endpoint does not start"))


def _import_endpoint() -> type[McpEndpoint]:
    from env.mcp.server import McpEndpoint

    return McpEndpoint
