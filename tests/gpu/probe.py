"""A session at `gpt-345m` probes two codes at `gpt-124m`, in a shortened schedule, and stops a third probe.

Usage: PLAY=probe tests/gpu/run.sh, which starts the service with the docker runner and then calls probe.py URL. For
hosts with two GPUs. Prints the metrics as they come, each probe's observation, the GPUs after it and one JSON line with
what was seen; the exit status is 1 where something is not as it should be. Some five minutes on two H100.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import httpx

TASK = "gpu-probe"
RMS_NORM = """\
class LayerNorm(nn.Module):
    def __init__(self, ndim, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(ndim))

    def forward(self, input):
        return F.rms_norm(input, self.weight.shape, self.weight, 1e-5)
"""
ITERATIONS = 56
PATIENCE_S = 600


def main(url: str) -> None:
    body = {"task": TASK, "agent": "gpu-check", "scale": "gpt-345m"}
    opened = httpx.post(f"{url}/v1/sessions", json=body, timeout=60).raise_for_status().json()
    assert "## What a probe runs" in opened["prompt"]
    assert "probe" in [tool["function"]["name"] for tool in opened["tools"]]
    headers = {"Authorization": f"Bearer {opened['token']}"}
    with httpx.Client(base_url=f"{url}/v1/sessions/{opened['session_id']}", headers=headers, timeout=120) as session:
        told = [probe(session, 1)]
        edited = session.post("/edit", json={"op": "replace", "start_line": 22, "end_line": 31, "content": RMS_NORM})
        print(edited.raise_for_status().json()["observation"].split("\n")[0])
        told.append(probe(session, 2))
        stopped = stop(session, 3)
        refused = session.post("/submit", json={"n": 1}).json()
        assert refused["code"] == "no_results", refused
        budget = httpx.get(str(session.base_url).rstrip("/"), headers=headers).json()["budget"]
        assert (budget["probes_remaining"], budget["tests_remaining"]) == (0, 1), budget
    rows = httpx.get(f"{url}/v1/leaderboards/{TASK}", params={"final": "false"}).json()["rows"]
    assert rows == [], rows
    print("PROBED", json.dumps({"probes": told, "stopped_s": stopped, "budget": budget}), flush=True)


def probe(session: httpx.Client, n: int) -> dict[str, Any]:
    """One probe from its call to its result, followed as it runs."""
    started = time.monotonic()
    asked = session.post("/probe", headers={"Idempotency-Key": f"probe-{n}"}).json()
    print(asked["observation"], flush=True)
    assert asked["probe"]["n"] == n, asked
    shown, first_s = 0, None
    while (seen := session.get(f"/probes/{n}", params={"wait": 5}).json())["ended_at"] is None:
        took = time.monotonic() - started
        assert took < PATIENCE_S, f"no result after {took:.0f} s"
        for point in seen["progress"]["series"][shown:]:
            first_s = first_s or took
            print(f"  {took:4.0f} s  {point}", flush=True)
        shown = len(seen["progress"]["series"])
    took = time.monotonic() - started
    print(f"{seen['status']} after {took:.1f} s\n{seen['observation']}\n{gpus()}", flush=True)
    assert (seen["status"], seen["kind"], seen["scale"]) == ("succeeded", "probe", "gpt-124m"), seen
    series = seen["progress"]["series"]
    assert series[-1]["step"] == ITERATIONS, series
    assert series[-1]["val_loss"] < series[0]["val_loss"] - 2, series
    return {
        "n": n,
        "seconds": round(took, 1),
        "first_metrics_s": round(first_s or took, 1),
        "stages": {stage["label"]: stage["elapsed_s"] for stage in seen["stages"]},
        "metrics": seen["metrics"],
        "dev_loss": [series[0]["val_loss"], series[-1]["val_loss"]],
    }


def stop(session: httpx.Client, n: int) -> float:
    """A probe that is stopped as soon as it runs; seconds until its GPUs were given back."""
    assert session.post("/probe").status_code == 202
    deadline = time.monotonic() + PATIENCE_S
    while session.get(f"/probes/{n}").json()["status"] != "running":
        assert time.monotonic() < deadline, "it never ran"
        time.sleep(0.5)
    time.sleep(10)
    started = time.monotonic()
    stopped = session.post(f"/probes/{n}/cancel", params={"wait": 60}).json()
    took = time.monotonic() - started
    assert (stopped["status"], stopped["refunded"]) == ("cancelled", False), stopped
    print(f"{stopped['observation']}\n{gpus()}", flush=True)
    return round(took, 1)


def gpus() -> str:
    query = ["nvidia-smi", "--query-gpu=index,memory.used,utilization.gpu", "--format=csv,noheader"]
    return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
