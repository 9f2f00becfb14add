"""The taskset of verifiers, with the real package in an environment of its own, on a live service."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.environments import ROOT, build_wheel, make_environment
from tests.support.processes import plain_environment, run_to_end
from tests.support.scores import score_invented
from tests.support.service import TASK, Serve
from tests.support.waiting import threads

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

TEXT = (ROOT / "docs" / "trainers.md").read_text(encoding="utf-8")
Calls = list[tuple[str, dict[str, Any]]]
PLAY: Calls = [
    ("edit", {"op": "str_replace", "old_str": "1e-5)", "new_str": "1e-6)"}),
    ("edit", {"op": "replace", "start_line": 1, "end_line": 2, "content": "import os\n"}),
    ("test", {}),
    ("submit", {"n": 1}),
]
SUBMIT = len(PLAY) - 1
GUIDE = {
    language: re.findall(rf"^```{language}\n(.*?)\n```$", TEXT, re.MULTILINE | re.DOTALL)
    for language in ("bash", "toml")
}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the client and verifiers, as the guide says, and nothing of the service."""
    install, _ = GUIDE["bash"]
    [package] = re.findall(r"^pip install '(ringfence\[.*\])'$", install)
    folder = tmp_path_factory.mktemp("environment")
    return make_environment(folder / "verifiers", package.replace("ringfence", str(build_wheel(folder / "wheel"))))


def completion(kind: str, **choice: Any) -> dict[str, Any]:
    """A body in the form of OpenAI's chat completions."""
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    choices = [{"index": 0, **choice}]
    return {"id": "x", "object": kind, "created": 0, "model": "scripted", "choices": choices, "usage": usage}


def whole(message: dict[str, Any], reason: str) -> bytes:
    return json.dumps(completion("chat.completion", message=message, finish_reason=reason)).encode()


def streamed(message: dict[str, Any], reason: str) -> bytes:
    delta = {**message, "tool_calls": [{"index": 0, **call} for call in message.get("tool_calls", [])]}
    chunks = [completion("chat.completion.chunk", delta=delta, finish_reason=None)]
    chunks.append(completion("chat.completion.chunk", delta={}, finish_reason=reason))
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks).encode() + b"data: [DONE]\n\n"


@contextmanager
def model(calls: Calls, stops: Callable[[int], bool]) -> Iterator[str]:
    """The URL of a model that makes these calls, one after another, and then says that it is done; or as soon as
    `stops` of the number of calls in the conversation says so.
    """

    class Scripted(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            number = sum(message["role"] == "tool" for message in body["messages"])
            goes_on = number < len(calls) and not stops(number)
            message: dict[str, Any] = {"role": "assistant", "content": None if goes_on else "Done."}
            if goes_on:
                name, arguments = calls[number]
                function = {"name": name, "arguments": json.dumps(arguments)}
                message["tool_calls"] = [{"id": f"call-{number}", "type": "function", "function": function}]
            reason = "tool_calls" if goes_on else "stop"
            sent = streamed(message, reason) if body.get("stream") else whole(message, reason)
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream" if body.get("stream") else "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_: object) -> None:
            pass

    class Listening(ThreadingHTTPServer):
        request_queue_size = 128
        daemon_threads = True

    with Listening(("127.0.0.1", 0), Scripted) as server, threads(1) as pool:
        running = pool.submit(server.serve_forever, 0.05)
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            running.result(10)


def evaluated(
    python: Path, folder: Path, service: str, model_url: str, *options: str, harness: str = "scripted_harness"
) -> list[dict[str, Any]]:
    """The traces of an evaluation by the guide's command; a harness of ours runs in the evaluation's own process."""
    _, command = GUIDE["bash"]
    for there, here in (
        ("null", harness),
        ("http://localhost:8080", service),
        ("llm-pretrain-normalization", TASK),
    ):
        assert there in command
        command = command.replace(there, here)
    command = f"{command.rstrip()} --output-dir . {shlex.join(options)}"
    environment = plain_environment() | {
        "PATH": f"{python.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).parent),
        "MODEL": "scripted",
        "MODEL_URL": model_url,
        "MODEL_KEY": "x",
        "HOME": str(folder),
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # three imports of verifiers: the first one takes longest
    folder.mkdir(exist_ok=True)
    for name in ("env.py", "runner.py", "tasks.py"):
        (folder / name).write_text("raise SystemExit('a file of the user, which nobody here should import')\n")
    ended = run_to_end(["bash", "-euo", "pipefail", "-c", command], 350, environment, cwd=folder)
    [file] = folder.rglob("traces.jsonl")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return [trace for line in file.read_text().splitlines() for trace in json.loads(line)["traces"]]


def test_64_rollouts_at_once_are_played_and_none_is_lost(python: Path, serve: Serve, tmp_path: Path) -> None:
    """Every eighth agent stops before it submits: that is worth nothing, and no error."""
    service = score_invented(serve("--runner", "fake", "--slots", "16"))
    arrived = itertools.count(1)
    with model(PLAY, lambda number: number == SUBMIT and next(arrived) % 8 == 0) as url:
        traces = evaluated(python, tmp_path / "runs", service.url, url)
    with service.client() as client:
        rows = client.get(f"/v1/leaderboards/{TASK}", params={"limit": 100}).json()["rows"]
    scores = {row["session_id"]: row["score"] for row in rows}
    assert (len(traces), len(scores)) == (64, 56)
    for trace in traces:
        session = trace["info"]["session_id"]
        assert trace["errors"] == []
        # What the service says, and nothing else.
        assert trace["rewards"]["submitted_score"]["score"] == scores.get(session, 0)
        assert trace["metrics"]["submitted"] == (session in scores)
    [trace] = [trace for trace in traces if trace["info"]["session_id"] == rows[0]["session_id"]]
    assert trace["metrics"]["val_loss_gpt-smoke"] == rows[0]["val_loss_gpt-smoke"]
    assert trace["metrics"]["delta_noise"] == rows[0]["delta_noise"]
    assert {audit["passed"] for audit in trace["info"]["audits"]} == {True}
    told = json.dumps(trace, ensure_ascii=False)
    assert "OK: Replaced old_str at line 30" in told
    assert "ERROR: Lines 1..2 exceed the editable range." in told  # a refusal is what the tool answers


def test_what_the_service_fails_at_is_an_error_and_no_reward(python: Path, serve: Serve, tmp_path: Path) -> None:
    service = serve("--runner", "fake")

    def down(number: int) -> bool:
        if number == SUBMIT:
            service.kill()
        return False

    with model(PLAY, down) as url:
        [trace] = evaluated(python, tmp_path / "runs", service.url, url, "-r", "1", "--env.taskset.patience-s", "1")
    assert [error["type"] for error in trace["errors"]] == ["TaskError"]
    assert "could not be reached" in trace["errors"][0]["message"]
    assert [one for one in trace["rewards"].values() if one is not None] == []


def test_the_guides_command_plays_rollouts_as_it_stands(python: Path, serve: Serve, tmp_path: Path) -> None:
    """With the harness that it names, whose program asks for streams."""
    service = serve("--runner", "fake")
    with model(PLAY, lambda _: False) as url:
        traces = evaluated(
            python, tmp_path / "runs", service.url, url, "-r", "2", "--env.taskset.invented", "true", harness="null"
        )
    assert [trace["errors"] for trace in traces] == [[], []]
    assert [trace["rewards"]["submitted_score"]["score"] for trace in traces] == [0, 0]  # invented
    assert [trace["metrics"]["submitted"] for trace in traces] == [1, 1]


def test_a_trainers_table_is_taken(python: Path, tmp_path: Path) -> None:
    [table] = GUIDE["toml"]
    file = tmp_path / "trainer.toml"
    file.write_text(table)
    read = "import sys, tomllib, verifiers.v1 as vf; from verifiers.v1.configs.cli.eval import EvalConfig\n"
    read += "taskset = EvalConfig.model_validate(tomllib.load(open(sys.argv[1], 'rb'))).env.taskset\n"
    read += "print(type(taskset).__name__, taskset.instances, taskset.agent)"
    told = run_to_end([str(python), "-c", read, str(file)], cwd=tmp_path)
    assert told.stdout.split() == ["RingfenceConfig", "4", "my-policy"], told.stderr
