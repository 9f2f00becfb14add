"""`GET /docs`: the OpenAPI document as a page of this service's own, which loads nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fastapi import Request
from starlette.responses import Response
from starlette.routing import Route

from env.http.pages import html_page
from leaderboard.pages.api import Operation, Parameter, api_page


def api_route(document: Callable[[], Mapping[str, Any]]) -> Route:
    """The route to the page about the OpenAPI document, which is made when it is first asked for."""

    async def page(request: Request) -> Response:
        return html_page(request, api_page(tuple(_operations(document()))))

    return Route("/docs", page, methods=["GET"], include_in_schema=False)


def _operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method, about in methods.items():
            content = about.get("requestBody", {}).get("content", {})
            body = content.get("application/json", {}).get("schema", {})
            yield Operation(
                method=method.upper(),
                path=path,
                about=about.get("description", ""),
                parameters=tuple(
                    Parameter(one["name"], one["in"], one.get("description", "")) for one in about.get("parameters", ())
                ),
                body=tuple(_fields(document, body)),
                answers=tuple(about.get("responses", {})),
            )


def _fields(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[Parameter]:
    """The body's fields; the schema may be one of several, or kept under a name."""
    for one in (schema, *schema.get("anyOf", ())):
        named = document["components"]["schemas"].get(one.get("$ref", "").rpartition("/")[2], one)
        required = named.get("required", ())
        for name, about in named.get("properties", {}).items():
            yield Parameter(name, "required" if name in required else "optional", about.get("description", ""))
