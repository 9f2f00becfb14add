"""A model for `inspect eval` on the command line: Inspect's mock model, playing one session. An Inspect extension."""

from __future__ import annotations

from typing import Any

from inspect_ai.model import ModelAPI, ModelOutput, ModelUsage, modelapi

CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("edit", {"op": "str_replace", "old_str": "self.bias, 1e-5)", "new_str": "self.bias, 1e-6)"}),
    ("check", {}),
    ("test", {}),
    ("submit", {"n": 1}),
)


@modelapi(name="scripted")
def scripted() -> type[ModelAPI]:
    from inspect_ai.model._providers.mockllm import MockLLM

    class Scripted(MockLLM):
        def __init__(self, model_name: str, **options: Any) -> None:
            super().__init__(model_name, custom_outputs=map(_output, CALLS), **options)

    return Scripted


def _output(call: tuple[str, dict[str, Any]]) -> ModelOutput:
    told = ModelOutput.for_tool_call("scripted", *call)
    # Given, it is not counted: counting would need a tokenizer's file.
    told.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
    return told
