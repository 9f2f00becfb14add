"""Eight sessions share four slots: never more than four runs at a time, and hardly a moment of a slot is lost."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.service import Serve

SESSIONS, SLOTS, TESTS = 8, 4, 3
STAGE_S = 1.0
TASK = """\
id = "second"
title = "A second each"
template = "custom.py"
filename = "pkg/custom.py"
editable = [[1, 1]]
[budget]
tests = {tests}
[scales.smoke]
world_size = 1
[[scales.smoke.stages]]
label = "second"
script = "lm_eval_second.sh"
role = "evaluate"
timeout_s = 60
"""
SCRIPT = """\
# fake: evaluate.seconds={stage_s}
sleep {stage_s}
echo '{{"metrics": {{"val_loss": 2.5}}}}' > "$OUT_DIR/metrics.json"
"""


@dataclass(frozen=True, kw_only=True)
class Played:
    """Sessions that spent all their tests at the same time."""

    results: list[dict[str, Any]]
    """The tests' views, once they were over."""
    makespan: float
    """Seconds from the first call to the last result."""
    most: int
    """How many tests held a slot at once."""


@pytest.mark.parametrize("runner", ["fake", "local"])
def test_slots_are_never_overbooked_and_hardly_ever_idle(serve: Serve, tmp_path: Path, runner: str) -> None:
    played = measure_pool(serve, tmp_path, runner=runner, sessions=SESSIONS, slots=SLOTS, tests=TESTS, stage_s=STAGE_S)
    assert [result["status"] for result in played.results] == ["succeeded"] * SESSIONS * TESTS
    ideal = SESSIONS * TESTS / SLOTS * STAGE_S
    alone = sum(stage["elapsed_s"] for result in played.results for stage in result["stages"]) / SLOTS
    print(
        f"{runner:5}  {len(played.results)} tests of {STAGE_S:g} s on {SLOTS} slots: {played.makespan:.2f} s, "
        f"ideal {ideal:.2f} s, ratio {played.makespan / ideal:.3f}; their runs alone {alone:.2f} s; "
        f"at most {played.most} at once"
    )
    assert played.most == SLOTS
    if runner == "fake":  # the pool alone; processes share the cores with what they are timed by
        assert played.makespan <= 1.1 * ideal


def measure_pool(
    serve: Serve, tmp_path: Path, *, runner: str, sessions: int, slots: int, tests: int, stage_s: float
) -> Played:
    """Every session plays so many tests, of one stage that takes `stage_s` seconds."""
    folder = tmp_path / "second"
    folder.mkdir()
    texts = {
        "task.toml": TASK.format(tests=tests),
        "custom.py": "NOTES = None\n",
        "lm_eval_second.sh": SCRIPT.format(stage_s=stage_s),
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    server = serve("--runner", runner, "--slots", str(slots), "--tasks", str(folder))
    agents = [server.open("second") for _ in range(sessions)]
    with ThreadPoolExecutor(sessions) as pool, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.client(agent.token)) for agent in agents]  # making one takes a while
        started = time.perf_counter()
        spent = pool.map(_spend, clients, [f"/v1/sessions/{agent.id}" for agent in agents], [tests] * sessions)
        results = [result for of_session in spent for result in of_session]
    return Played(
        results=results,
        makespan=time.perf_counter() - started,
        most=_most_at_once([(_seconds(one["started_at"]), _seconds(one["ended_at"])) for one in results]),
    )


def _spend(client: httpx.Client, session: str, tests: int) -> list[dict[str, Any]]:
    results = []
    for n in range(1, tests + 1):
        asked = client.post(f"{session}/test", json={})
        assert asked.status_code == 202, asked.text
        results.append(client.get(f"{session}/tests/{n}", params={"wait": 60}).json())
    return results


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


def _most_at_once(spans: list[tuple[float, float]]) -> int:
    """Of the tests, which hold their slot for longer than their runs."""
    return max(sum(begin <= moment < end for begin, end in spans) for moment, _ in spans)
