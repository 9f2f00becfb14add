"""`python inspect_eval.py URL LOGS TASK SCRIPT`: the Inspect task, with the mock model making SCRIPT's tool calls.

SCRIPT is JSON: for each sample a list of [tool, arguments] pairs. Prints each sample's scores, messages and error.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from inspect_ai import eval as inspect_eval
from inspect_ai.model import ChatMessage, ChatMessageTool, ModelOutput, ModelUsage, get_model

TASK = "ringfence/pretrain"  # by its entry point: from any folder


def output(call: Any) -> ModelOutput:
    if call is None:
        told = ModelOutput.from_content("mockllm/model", "I am done.")
    else:
        told = ModelOutput.for_tool_call("mockllm/model", call[0], call[1])
    # Given, it is not counted: counting would need a tokenizer's file.
    told.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
    return told


def _text(message: ChatMessage) -> str:
    """Of a tool that refused, the refusal."""
    return message.error.message if isinstance(message, ChatMessageTool) and message.error else message.text


def main(url: str, logs: str, task: str, samples: list[list[Any]]) -> None:
    outputs = [output(call) for calls in samples for call in calls]
    [log] = inspect_eval(
        TASK,
        task_args={"task": task or None, "url": url, "agent": "inspect"},
        model=get_model("mockllm/model", custom_outputs=outputs),
        epochs=len(samples),
        max_samples=1,
        message_limit=2 * len(samples[0]) + 1,
        log_dir=logs,
        log_format="json",
        display="plain",
    )
    told = [
        {
            "id": sample.id,
            "input": sample.input,
            "scores": {name: score.model_dump() for name, score in (sample.scores or {}).items()},
            "messages": [[message.role, _text(message)] for message in sample.messages],
            "error": sample.error and sample.error.message,
        }
        for sample in log.samples or []
    ]
    print(json.dumps({"status": log.status, "error": log.error and log.error.message, "samples": told}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4]))
