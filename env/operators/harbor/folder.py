"""The texts of a Harbor task's files."""

from __future__ import annotations

import importlib.metadata
import json
import shlex
from dataclasses import dataclass

from ringfence.api.catalogue import BaselineDetails, ScaleDetails, TaskWhole

SCHEMA = "1.4"
"""Of Harbor's task.toml."""
SESSION = "/home/agent/.ringfence/session.json"
"""What the agent's box leaves for the verifier's."""
_CHECK_S = 300.0
_THINKING_S = 2 * 3600.0
"""What an agent is given besides its tests and checks."""
_TEST = """\
#!/bin/sh
# The reward is what the service says of the submitted result. Without a final one there is no reward file, and so the
# verification fails.
set -eu
exec python3 -P -m ringfence.verify --url {url} --task {task} --scale {scale} \\
    --session "${{RINGFENCE_SESSION:-{session}}}" --out "${{RINGFENCE_REWARD:-/logs/verifier/reward.json}}" \\
    --patience "${{RINGFENCE_PATIENCE:-300}}"
"""
_DOCKERFILE = """\
# The agent's box, and the verifier's: a client of the service and no more. What is trained runs at the service.
ARG BASE=python:3.12-slim-bookworm
FROM ${{BASE}}
RUN pip install --no-cache-dir {requirements}
COPY client /opt/ringfence
COPY rf /usr/local/bin/rf
RUN chmod 755 /usr/local/bin/rf && /usr/sbin/useradd --create-home agent
ENV PYTHONPATH=/opt/ringfence
WORKDIR /home/agent
"""
RF = """\
#!/bin/sh
exec python3 -P -m ringfence.rf "$@"
"""
_COMMANDS = """

## The tools in this box

The tools are a command, `rf`. It works in one session, which its first call opens. The file is at the service.

| | |
|---|---|
| `rf prompt` | this text, without this part |
| `rf view [START END]` | the file with line numbers |
| `rf replace START END < new.py` | `edit` with `op` replace; empty input deletes the lines |
| `rf insert AFTER < new.py` | `edit` with `op` insert |
| `rf edit '{"op": "str_replace", "old_str": "…", "new_str": "…"}'` | `edit` with any arguments; `-` reads them |
| `rf undo [N]` | `undo` |
| `rf check` | `check` |
| `rf test` | `test`; waits a minute for the result, and the test goes on after that |
| `rf probe` | `probe`, where there are probes; waits in the same way |
| `rf status [--wait SECONDS]` | how the last test or probe stands, or its result |
| `rf submit N` | `submit`: without it nothing counts |
"""


@dataclass(frozen=True, kw_only=True)
class HarborTask:
    """A task at one scale of the service at `url`."""

    url: str
    """As the boxes of agents and verifiers reach it."""
    task: TaskWhole
    scale: str
    prompt: str

    @property
    def name(self) -> str:
        return f"{self.task.id}-{self.scale}"

    @property
    def details(self) -> ScaleDetails:
        return self.task.scale_details[self.scale]


def files(one: HarborTask) -> dict[str, str]:
    """By path within the folder; the client's own files are not among them."""
    quoted = {"url": one.url, "task": one.task.id, "scale": one.scale}
    return {
        "task.toml": configuration(one),
        "instruction.md": one.prompt.rstrip() + _COMMANDS,
        "environment/Dockerfile": _DOCKERFILE.format(requirements=" ".join(_requirements())),
        "environment/rf": RF,
        "tests/test.sh": _TEST.format(**{name: shlex.quote(value) for name, value in quoted.items()}, session=SESSION),
        "solution/solve.sh": solution(one),
    }


def configuration(one: HarborTask) -> str:
    """task.toml. What is in its `env` tables is taken from the environment of whoever runs Harbor."""
    training = sum(stage.timeout_s for stage in one.details.stages)
    agent_s = one.task.budget.tests * training + one.task.budget.checks * _CHECK_S + _THINKING_S
    about = f"{one.task.title}, at scale {one.scale}. Trains at a Ringfence service."
    return "\n".join(
        [
            f"schema_version = {_text(SCHEMA)}",
            f"artifacts = [{_text(SESSION)}]",
            "",
            "[task]",
            f"name = {_text(f'ringfence/{one.name}')}",
            f"description = {_text(about)}",
            'keywords = ["pretraining", "research"]',
            "",
            "[metadata]",
            f"service = {_text(one.url)}",
            f"task = {_text(one.task.id)}",
            f"task_version = {_text(one.task.version)}",
            f"scale = {_text(one.scale)}",
            "",
            "[agent]",
            f"timeout_sec = {agent_s:.1f}",
            'user = "agent"',
            "",
            "[verifier]",
            "timeout_sec = 600.0",
            'environment_mode = "separate"',
            "",
            "[verifier.env]",
            'RINGFENCE_KEY = "${RINGFENCE_KEY:-}"',
            "",
            "[environment]",
            "build_timeout_sec = 900.0",
            "cpus = 1",
            "memory_mb = 2048",
            "storage_mb = 4096",
            "",
            "[environment.env]",
            f"RINGFENCE_URL = {_text(one.url)}",
            f"RINGFENCE_TASK = {_text(one.task.id)}",
            f"RINGFENCE_SCALE = {_text(one.scale)}",
            'RINGFENCE_AGENT = "${RINGFENCE_AGENT:-harbor}"',
            'RINGFENCE_KEY = "${RINGFENCE_AGENT_KEY:-}"',
            "",
        ]
    )


def solution(one: HarborTask) -> str:
    """solve.sh: plays the best baseline; where the task has none, the unedited file."""
    best = best_baseline(one.task, one.scale)
    edits = () if best is None else best.edits
    told = "the unedited file" if best is None else f"{best.name}: {' '.join(best.title.split())}"
    calls = (json.dumps(edit, ensure_ascii=False) for edit in edits)
    return "\n".join(
        [
            "#!/bin/sh",
            f"# The best baseline known at this scale, {told}.",
            "set -eu",
            *(f"rf edit {shlex.quote(call)}" for call in calls),
            f"rf test --wait {sum(stage.timeout_s for stage in one.details.stages) * 2:.0f}",
            "rf submit 1",
            "",
        ]
    )


def best_baseline(task: TaskWhole, scale: str) -> BaselineDetails | None:
    """The method with the best loss where the baselines were measured at the scale; else the first.

    The unedited file, which may do better at a small scale, is no method.
    """
    by_name = {baseline.name: baseline for baseline in task.baselines}
    anchors = task.anchors.get(scale)
    for metric in () if anchors is None else anchors.metrics:  # none as long as they are not known on the data here
        known = {name: sum(values) / len(values) for name, values in metric.baselines.items() if name in by_name}
        if metric.metric == "val_loss" and known:
            return by_name[(min if metric.better == "lower" else max)(known, key=lambda name: known[name])]
    return next(iter(task.baselines), None)


def _requirements() -> list[str]:
    return [f"{name}=={importlib.metadata.version(name)}" for name in ("httpx", "pydantic")]


def _text(value: str) -> str:
    """A TOML string, whose escapes are those of JSON."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
