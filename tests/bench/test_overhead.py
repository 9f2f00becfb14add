"""What a test costs over running its scripts by hand: queueing, supervision, following the output, judging."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from env.lifecycle.plan import plan
from tasks.load import load_tasks
from tasks.model import Task

TASK = "llm-pretrain-normalization"
PAIRS = 5


def test_a_test_takes_little_longer_than_its_scripts_by_hand(
    serve: Callable[..., Any], tmp_path: Path, smoke_data: Path
) -> None:
    server = serve("--runner", "local")
    task = load_tasks()[TASK]
    ratios = []
    for number in range(PAIRS + 1):
        agent = server.open(TASK, scale="smoke")
        started = time.perf_counter()
        _by_hand(task, tmp_path / str(number), smoke_data)
        by_hand = time.perf_counter() - started
        started = time.perf_counter()
        in_runs = _by_test(agent)
        by_test = time.perf_counter() - started
        print(
            f"by hand {by_hand:6.2f} s   as a test {by_test:6.2f} s, {by_test - in_runs:.2f} s of them between runs   "
            f"ratio {by_test / by_hand:.3f}"
        )
        if number:  # the first pair is for warming up
            ratios.append(by_test / by_hand)
    print(f"a test takes {median(ratios):.3f} of the time by hand")
    assert median(ratios) < 1.1


def _by_test(agent: Any) -> float:
    """Seconds that its runs took, as their host measured them."""
    agent.call("test")
    result = agent.result(1)
    assert result["status"] == "succeeded"
    return float(sum(stage["elapsed_s"] for stage in result["stages"]))


def _by_hand(task: Task, folder: Path, data: Path) -> None:
    """A user at a terminal: lay the files out, then run one command after the other."""
    scale, work = task.scales["smoke"], folder / "work"
    for name, text in {task.filename: task.text, **{s.script: s.script_text for s in scale.stages}}.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(text)
    for run in plan(scale):
        out = folder / str(run.position)
        out.mkdir()
        environment = {
            **scale.settings,
            "SCRIPT": task.filename,
            "WORLD_SIZE_EXPECTED": str(scale.world_size),
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OUT_DIR": str(out),
            "INPUT_DIR": str(folder / str(run.upstream)),
        }
        folders = scale.evaluation_data if run.evaluates else scale.data
        environment |= {variable: str(data / name) for variable, name in folders.items()}
        ran = subprocess.run(run.command, cwd=work, env=environment, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
