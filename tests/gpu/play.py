"""Play tests on a service with GPUs and print what came of them. Usage: play.py URL NAME...; names as in PLAYS."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import httpx

WIDE_BLOCK = """\
class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.ln_1 = LayerNorm(config.n_embd, bias=config.bias)
        self.attn = CausalSelfAttention(config)
        self.ln_2 = LayerNorm(config.n_embd, bias=config.bias)
        self.mlp = MLP(config)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        for _ in range(4):
            x = x + 0.25 * self.mlp(self.ln_2(x))
        return x
"""
NOT_A_NUMBER = """\
class LayerNorm(nn.Module):
    def __init__(self, ndim, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(ndim))

    def forward(self, input):
        return input * self.weight / 0.0
"""
PLAYS: dict[str, tuple[str, dict[str, Any] | None]] = {
    "norm": ("gpu-normalization-run", None),
    "linear": ("gpu-linear-attention-run", None),
    "oom": ("gpu-normalization-oom", {"start_line": 88, "end_line": 100, "content": WIDE_BLOCK}),
    "nan": ("gpu-normalization-oom", {"start_line": 22, "end_line": 31, "content": NOT_A_NUMBER}),
    "deadline": ("gpu-deadline", None),
}


def play(url: str, task: str, edit: dict[str, Any] | None) -> None:
    print(f"===== {task}", flush=True)
    body = {"task": task, "agent": "gpu-check", "scale": "gpt-345m"}
    opened = httpx.post(f"{url}/v1/sessions", json=body, timeout=60).raise_for_status().json()
    headers = {"Authorization": f"Bearer {opened['token']}"}
    with httpx.Client(base_url=f"{url}/v1/sessions/{opened['session_id']}", headers=headers, timeout=120) as session:
        if edit is not None:
            print(session.post("/edit", json=edit).json()["observation"].split("\n")[0])
        started = time.monotonic()
        print(session.post("/test").json()["observation"].split("\n")[0], flush=True)
        shown = 0
        while True:
            seen = session.get("/tests/1", params={"wait": 15}).json()
            series = seen["progress"]["series"]
            for point in series[shown:]:
                print(f"  {time.monotonic() - started:4.0f} s  {point}", flush=True)
            shown = len(series)
            if seen["ended_at"] is not None:
                break
        print(f"{seen['status']} after {time.monotonic() - started:.1f} s\n{seen['observation']}\n{gpus()}")
    rows = httpx.get(f"{url}/v1/leaderboards/{task}", params={"final": "false"}).json()["rows"]
    print(json.dumps([row for row in rows if row["session_id"] == opened["session_id"]]), flush=True)


def gpus() -> str:
    query = ["nvidia-smi", "--query-gpu=index,memory.used,utilization.gpu", "--format=csv,noheader"]
    return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    for name in sys.argv[2:]:
        play(sys.argv[1], *PLAYS[name])
