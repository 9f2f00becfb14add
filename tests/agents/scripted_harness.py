"""A harness for verifiers with its loop in the evaluation's own process: asks the model, calls the tools it names."""

from __future__ import annotations

import json
from typing import Any

import httpx
import verifiers.v1 as vf
from mcp import Client

__all__ = ["ScriptedHarness"]


class ScriptedConfig(vf.HarnessConfig):
    """Without settings of its own."""


class ScriptedHarness(vf.Harness[ScriptedConfig]):
    SUPPORTS_MCP = True
    EXECUTES_CODE = False
    NEEDS_CONTAINER = False

    async def launch(
        self,
        ctx: Any,
        trace: Any,  # noqa: ARG002
        runtime: Any,  # noqa: ARG002
        endpoint: str,
        secret: str,
        mcp_urls: dict[str, str],
        data: Any,
    ) -> vf.ProgramResult:
        [url] = mcp_urls.values()
        _, prompt = self.resolve_prompt(data)
        said: list[Any] = [{"role": "user", "content": prompt}]
        async with Client(url) as tools, httpx.AsyncClient(timeout=300) as http:
            known = [
                {"type": "function", "function": {"name": tool.name, "parameters": tool.input_schema}}
                for tool in (await tools.list_tools()).tools
            ]
            while True:
                answer = await http.post(
                    f"{endpoint}/chat/completions",
                    headers={"Authorization": f"Bearer {secret}"},
                    json={"model": ctx.model, "messages": said, "tools": known},
                )
                answer.raise_for_status()
                message = answer.json()["choices"][0]["message"]
                said.append(message)
                if not message.get("tool_calls"):
                    return vf.ProgramResult(exit_code=0, stdout="", stderr="")
                for call in message["tool_calls"]:
                    function = call["function"]
                    result = await tools.call_tool(function["name"], json.loads(function["arguments"]))
                    text = "".join(part.text for part in result.content)
                    said.append({"role": "tool", "tool_call_id": call["id"], "content": text})
