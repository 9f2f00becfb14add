"""The MCP endpoint: lists the tools with their schemas, hands calls to the toolbox, and words the answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)

from env.mcp.clients import accepting, takes_streams, with_plain_arguments
from env.mcp.toolbox import ALL, IN_SESSION, Answer, Caller, Toolbox
from env.service.access import LOOPBACK, bearer_of
from env.service.refusals import no_database
from env.service.service import Service
from env.store.outage import OUTAGES
from ringfence.api.arguments import Arguments, description, parameters
from ringfence.api.distribution import own_version
from ringfence.api.refusal import Refusal
from ringfence.api.sessions import Point, ProgressView
from ringfence.api.tools import LastTest

_INSTRUCTIONS = """\
Ringfence: improve an LLM-pretraining script inside its editable line ranges. open_session gives the task and a token;
then edit, check, probe where the scale has a proxy, test, and test_status until the test is over; submit(n) ends the
session."""
_TOKEN = {
    "type": "string",
    "description": "The session's token, as open_session returned it. May be left out by a client that sends it as "
    "Authorization header.",
}
_READ_ONLY = ("list_tasks", "view", "check_status", "test_status")
_HERE = [f"[{name}]" if ":" in name else name for name in LOOPBACK]
"""As a header writes them."""


class McpEndpoint:
    """An ASGI endpoint for POSTs, with or without the protocol's older handshake; it keeps nothing between calls."""

    def __init__(self, service: Service) -> None:
        self._toolbox = Toolbox(service)
        server = Server(
            "ringfence",
            version=own_version(),
            instructions=_INSTRUCTIONS,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_resources=_no_resources,
            on_list_resource_templates=_no_templates,
            on_list_prompts=_no_prompts,
        )
        security = _security(service)
        self._streaming = StreamableHTTPSessionManager(server, stateless=True, security_settings=security)
        self._plain = StreamableHTTPSessionManager(
            server, stateless=True, security_settings=security, json_response=True
        )

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """To be entered for as long as the endpoint is to answer."""
        async with self._streaming.run(), self._plain.run():
            yield

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        sessions = self._streaming if takes_streams(scope) else self._plain
        await sessions.handle_request(accepting(scope), with_plain_arguments(receive), send)

    async def _list_tools(self, _: Context, __: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=[_described(name, arguments) for name, arguments in ALL.items()])

    async def _call_tool(self, context: Context, call: CallToolRequestParams) -> CallToolResult:
        shown = 0

        async def tell(progress: ProgressView) -> None:
            nonlocal shown
            if progress.step > shown:  # the protocol wants every figure to be above the one before
                shown = progress.step
                await context.session.report_progress(shown, progress.total_steps, _losses(progress.series[-1]))

        try:
            return _result(await self._toolbox.call(call.name, call.arguments or {}, _caller(context, call), tell))
        except Refusal as refusal:
            return _result(refusal.body)
        except OUTAGES:
            return _result(no_database().body)


Context = ServerRequestContext[dict[str, Any], Any]


def _described(name: str, arguments: type[Arguments]) -> Tool:
    schema = parameters(arguments)
    if name in IN_SESSION:
        schema["properties"] = schema["properties"] | {"token": _TOKEN}
    return Tool(
        name=name,
        description=description(arguments),
        input_schema=schema,
        annotations=ToolAnnotations(read_only_hint=name in _READ_ONLY, open_world_hint=False),
    )


async def _no_resources(_: Context, __: PaginatedRequestParams | None) -> ListResourcesResult:
    """Clients ask for what they can show, whether it is offered or not."""
    return ListResourcesResult(resources=[])


async def _no_templates(_: Context, __: PaginatedRequestParams | None) -> ListResourceTemplatesResult:
    return ListResourceTemplatesResult(resource_templates=[])


async def _no_prompts(_: Context, __: PaginatedRequestParams | None) -> ListPromptsResult:
    return ListPromptsResult(prompts=[])


def _caller(context: Context, call: CallToolRequestParams) -> Caller:
    """A call's key stands in its `_meta` as `idempotency_key`, or in HTTP's own header."""
    headers = {} if context.request is None else context.request.headers
    own = (call.meta or {}).get("idempotency_key")
    key = own if isinstance(own, str) else headers.get("idempotency-key")
    return Caller(bearer=bearer_of(headers.get("authorization", "")), key=key)


def _result(answer: Answer) -> CallToolResult:
    """The observation as text; and once more within the structured content, as some clients show only that."""
    told = _encodable(answer.observation)
    return CallToolResult(
        content=[TextContent(text=told)],
        structured_content=_lean(answer) | {"observation": told},
        is_error=not answer.ok,
    )


def _lean(answer: Answer) -> dict[str, Any]:
    """The answer without what a model would read twice."""
    if isinstance(answer, LastTest):
        return answer.model_dump(exclude_unset=True, exclude={"test": {"observation": True, "progress": {"series"}}})
    return answer.to_dict()


def _encodable(text: str) -> str:
    """A lone surrogate can't be UTF-8: it is sent as the escape that JSON would write for it."""
    return text.encode("utf-8", "backslashreplace").decode()


def _losses(point: Point) -> str:
    return f"train_loss {point.train_loss}, val_loss {point.val_loss}"


def _security(service: Service) -> TransportSecuritySettings:
    """Without operator keys the service listens on loopback only, and whoever reaches it may open sessions: a web page
    must not reach it by having its own name resolved to this host (DNS rebinding). With keys, any name may lead here.
    """
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=service.open_to_all,
        allowed_hosts=[form for name in _HERE for form in (name, f"{name}:*")],
        allowed_origins=[form for name in _HERE for form in (f"http://{name}", f"http://{name}:*")],
    )
