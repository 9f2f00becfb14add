"""Devices and memory: tests that fit nowhere, and runs that were too large for their GPU."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from env.lifecycle.attempts import Attempts
from env.lifecycle.judgement import out_of_memory
from env.lifecycle.plan import halved, plan
from env.lifecycle.progress import Progress
from env.store.model import Session, Status, Test
from runner.fake.runner import FakeRunner
from runner.protocol import RunSpec
from tasks.load import load_tasks
from tests.support.service import Serve, Server

BLOCK = """\
class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.ln_1 = LayerNorm(config.n_embd, bias=config.bias)
        self.attn = CausalSelfAttention(config)
        self.mlp = MLP(config)

    def forward(self, x):
        return x + self.attn(self.ln_1(x)) + self.mlp(x)
# fake: cuda-oom={fits}
"""


def agent_with_a_large_block(server: Server, fits: int) -> Any:
    agent = server.open(scale="gpt-345m")
    agent.call("edit", {"start_line": 88, "end_line": 100, "content": BLOCK.format(fits=fits)})
    assert agent.call("test").status_code == 202
    return agent


@pytest.mark.parametrize(("fits", "times", "batch", "accumulation"), [(48, 1, 48, 12), (24, 2, 24, 24)])
def test_out_of_memory_is_answered_with_smaller_micro_batches(
    shared: Server, fits: int, times: int, batch: int, accumulation: int
) -> None:
    agent = agent_with_a_large_block(shared, fits)
    result = agent.result(1)
    assert result["status"] == "succeeded"
    assert (
        f"[NOTE] CUDA out of memory: the micro-batch was halved {times} time(s), to {batch} sequences with "
        f"{accumulation} accumulation steps. Tokens per step are the same."
    ) in result["observation"]
    assert agent.get().json()["budget"]["tests_remaining"] == 2


def test_after_two_halvings_it_is_the_agents_to_solve(shared: Server) -> None:
    result = agent_with_a_large_block(shared, 23).result(1)
    assert result["status"] == "failed"
    assert "[COMMAND FAILED exit=1]" in result["observation"]
    assert "torch.OutOfMemoryError: CUDA out of memory" in result["observation"]
    assert "halved 2 time(s), to 24 sequences" in result["observation"]


def test_on_cpus_there_is_no_gpu_memory_to_run_out_of(serve: Serve) -> None:
    agent = serve().open(scale="smoke")
    agent.call("edit", {"start_line": 88, "end_line": 100, "content": BLOCK.format(fits=4)})
    assert agent.call("test").status_code == 202
    result = agent.result(1)
    assert result["status"] == "failed"
    assert "halved" not in result["observation"]


def test_attempts_share_one_time_limit() -> None:
    task = load_tasks()["llm-pretrain-normalization"]
    given: list[float] = []

    class Watched(FakeRunner):
        def submit(self, spec: RunSpec) -> None:
            given.append(spec.timeout_s)
            super().submit(spec)

    at = datetime(2026, 11, 3, tzinfo=UTC)
    session = Session(
        id="s", task=task, agent="a", scale="gpt-345m", metadata={}, token_sha256="", created_at=at, seed=None
    )
    test = Test(
        session_id="s", n=1, status=Status.RUNNING, files={task.filename: "# fake: cuda-oom=24\n"}, created_at=at
    )
    (training, *_) = plan(session.size)
    run = asyncio.run(Attempts(Watched(step_s=0.02)).run(session, test, training, Progress(None), lambda: None))
    assert run.status is Status.SUCCEEDED
    whole = training.stage.timeout_s
    assert given == [whole, pytest.approx(whole - 0.2, abs=0.05), pytest.approx(whole - 0.4, abs=0.1)]


def test_halving_keeps_the_tokens_of_a_step() -> None:
    settings = {"BATCH_SIZE": "96", "GRAD_ACCUM": "6", "N_LAYER": "24"}
    assert halved(settings, 0) == settings
    assert halved(settings, 2) == {"BATCH_SIZE": "24", "GRAD_ACCUM": "24", "N_LAYER": "24"}
    assert halved({"BATCH_SIZE": "6", "GRAD_ACCUM": "1"}, 2) is None
    assert halved({"BATCH_SIZE": "2", "GRAD_ACCUM": "1"}, 2) is None
    assert halved({}, 1) is None


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.", True),
        ("Traceback\n  File\ntorch.cuda.OutOfMemoryError: CUDA out of memory.", True),
        ("print: torch.OutOfMemoryError: no", False),
        ("RuntimeError: out of memory, as they say", False),
        ("", False),
    ],
)
def test_only_torchs_own_exception_counts_as_out_of_memory(output: str, told: bool) -> None:
    assert out_of_memory(output) is told
