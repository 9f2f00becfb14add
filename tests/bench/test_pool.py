"""Eight sessions share four slots: never more than four runs at a time, and hardly a moment of a slot is lost."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.service import Serve

SESSIONS, SLOTS, TESTS = 8, 4, 3
STAGE_S = 1.0
TASK = f"""\
id = "second"
title = "A second each"
template = "custom.py"
filename = "pkg/custom.py"
editable = [[1, 1]]
[budget]
tests = {TESTS}
[scales.smoke]
world_size = 1
[[scales.smoke.stages]]
label = "second"
script = "lm_eval_second.sh"
role = "evaluate"
timeout_s = 60
"""
SCRIPT = f"""\
# fake: evaluate.seconds={STAGE_S}
sleep {STAGE_S}
echo '{{"metrics": {{"val_loss": 2.5}}}}' > "$OUT_DIR/metrics.json"
"""


@pytest.mark.parametrize("runner", ["fake", "local"])
def test_slots_are_never_overbooked_and_hardly_ever_idle(serve: Serve, tmp_path: Path, runner: str) -> None:
    folder = tmp_path / "second"
    folder.mkdir()
    for name, text in (("task.toml", TASK), ("custom.py", "NOTES = None\n"), ("lm_eval_second.sh", SCRIPT)):
        (folder / name).write_text(text)
    server = serve("--runner", runner, "--slots", str(SLOTS), "--tasks", str(folder))
    agents = [server.open("second") for _ in range(SESSIONS)]
    with ThreadPoolExecutor(SESSIONS) as pool, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.client(agent.token)) for agent in agents]  # making one takes a while
        started = time.perf_counter()
        spent = pool.map(_spend, clients, [f"/v1/sessions/{agent.id}" for agent in agents])
        results = [result for of_session in spent for result in of_session]
    makespan = time.perf_counter() - started
    assert [result["status"] for result in results] == ["succeeded"] * SESSIONS * TESTS
    most = _most_at_once([(_seconds(one["started_at"]), _seconds(one["ended_at"])) for one in results])
    ideal = SESSIONS * TESTS / SLOTS * STAGE_S
    alone = sum(stage["elapsed_s"] for result in results for stage in result["stages"]) / SLOTS
    print(
        f"{runner:5}  {len(results)} tests of {STAGE_S:g} s on {SLOTS} slots: {makespan:.2f} s, ideal {ideal:.2f} s, "
        f"ratio {makespan / ideal:.3f}; their runs alone {alone:.2f} s; at most {most} at once"
    )
    assert most == SLOTS
    if (
        runner == "fake"
    ):  # the pool alone; processes cost what they cost, and share the cores with what they are timed by
        assert makespan <= 1.1 * ideal


def _spend(client: httpx.Client, session: str) -> list[dict[str, Any]]:
    results = []
    for n in range(1, TESTS + 1):
        asked = client.post(f"{session}/test", json={})
        assert asked.status_code == 202, asked.text
        results.append(client.get(f"{session}/tests/{n}", params={"wait": 60}).json())
    return results


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


def _most_at_once(spans: list[tuple[float, float]]) -> int:
    """Of the tests, which hold their slot for longer than their runs."""
    return max(sum(begin <= moment < end for begin, end in spans) for moment, _ in spans)
