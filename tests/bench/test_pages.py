"""Pages with ten thousand results and five hundred runs with curves behind them: time to the first byte, and sizes."""

from __future__ import annotations

import random
import re
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from sqlalchemy import Connection, insert

from env.service.access import sha256
from env.store.engine import open_database
from env.store.model import Session
from env.store.store import Store
from env.store.tables import runs, sessions, steps, tests
from leaderboard import writing
from leaderboard.model import Result
from tasks.load import load_tasks

RESULTS, WITH_CURVE, POINTS = 10_000, 500, 1000
TASK, SCALE = "llm-pretrain-normalization", "gpt-345m"
START = datetime(2026, 1, 1, tzinfo=UTC)
MEASURED = {
    "val_loss_gpt-345m": 2.3,
    "wikitext2_ppl_gpt-345m": 45.0,
    "lambada_ppl_gpt-345m": 70.0,
    "arc_easy_lm-eval-345m": 55.0,
    "hellaswag_lm-eval-345m": 33.0,
    "piqa_lm-eval-345m": 64.0,
    "winogrande_lm-eval-345m": 51.0,
}
ELAPSED = {"elapsed_gpt-345m": 20548.0, "elapsed_lm-eval-345m": 421.0}
REPEATS = 60


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with the database in it."""
    folder = tmp_path_factory.mktemp("pages") / "state0"
    folder.mkdir()
    engine = open_database(f"sqlite:///{folder / 'ringfence.db'}")
    store, chance = Store(engine), random.Random(0)
    with engine.begin() as connection:
        for number in range(RESULTS):
            _add(connection, store, number, chance)
    engine.dispose()
    return folder


@pytest.mark.timeout(900)
def test_pages_answer_at_once_and_stay_small(state: Path, tmp_path: Path, serve: Callable[..., Any]) -> None:
    state.rename(tmp_path / "state0")  # where `serve` keeps its first service's state
    server = serve("--runner", "fake")
    process = psutil.Process(server.pid)
    task = f"/tasks/{TASK}?scale={SCALE}"
    curved = f"{_session(0)}-1"
    pages = {
        "home": "/",
        "task": task,
        "task, all tests": f"{task}&final=false",
        "task, newest first": f"{task}&sort=-timestamp",
        "task, by another metric": f"{task}&sort=-piqa_lm-eval-345m",
        "task, page 40": f"{task}&page=40",
        "task, one agent": f"{task}&final=false&agent=agent-7",
        "task, five curves": task + "".join(f"&run={_session(n)}-1" for n in range(5)),
        "session": f"/sessions/{_session(0)}",
        "curve, JSON": f"/v1/results/{curved}/curve",
    }
    worst_ms, largest = 0.0, 0
    with server.client() as client:
        static = sum(len(client.get(name).content) for name in _static(client.get(task).text))
        for name, path in pages.items():
            for _ in range(5):  # to warm up
                _first_byte(client, path)
            before = process.cpu_times()
            taken = [_first_byte(client, path) for _ in range(REPEATS)]
            after = process.cpu_times()
            cpu_ms = (after.user + after.system - before.user - before.system) * 1000 / REPEATS
            p95 = statistics.quantiles(taken, n=20)[18]
            size = len(client.get(path).content)
            print(
                f"{name:<26}p50 {statistics.median(taken):6.1f} ms   p95 {p95:6.1f} ms   server {cpu_ms:5.1f} ms   "
                f"{size / 1000:6.1f} kB"
            )
            worst_ms, largest = max(worst_ms, p95), max(largest, size)
    print(f"scripts and styles, kept by the browser: {static / 1000:.1f} kB")
    assert worst_ms < 100
    assert largest + static < 300_000


def _static(page: str) -> list[str]:
    return re.findall(r'"(/static/[^"]+)"', page)


def _first_byte(client: httpx.Client, path: str) -> float:
    """Milliseconds."""
    started = time.perf_counter()
    with client.stream("GET", path) as answer:
        taken = (time.perf_counter() - started) * 1000
        assert answer.status_code == 200, answer.read()
        answer.read()
    return taken


def _session(number: int) -> str:
    return f"{number:016x}"


def _add(connection: Connection, store: Store, number: int, chance: random.Random) -> None:
    """Two tests a session, the first submitted; every fiftieth session is a baseline's, every tenth test failed."""
    session_id, test = _session(number // 2), number % 2 + 1
    failed = number % 10 == 9
    metrics = {name: value + chance.gauss(0, 0.05) for name, value in MEASURED.items()}
    agent = f"baseline:b{number % 7}" if (number // 2) % 50 == 49 else f"agent-{number % 300}"
    finished = START + timedelta(minutes=number)
    result = Result(
        run_key=f"{session_id}-{test}",
        task_id=TASK,
        task_version="1",
        agent=agent,
        session_id=session_id,
        test=test,
        status="failed" if failed else "succeeded",
        scale=SCALE,
        seed=42,
        finished_at=finished,
        metrics={} if failed else metrics,
        elapsed=ELAPSED,
        record={"machine": {"gpus": "2 x H200"}, "settings": {f"S{n}": "x" for n in range(30)}},
        code={"nanoGPT/custom_pretrain.py": f"# {number}\n" + "x = 1\n" * 400},
        parameters=354_823_168,
    )
    writing.record(connection, result)
    if test == 1:
        writing.submit(connection, session_id, result.run_key, finished)
        if number // 2 < WITH_CURVE:
            _add_session(connection, store, session_id, agent, finished, chance)


def _add_session(
    connection: Connection, store: Store, session_id: str, agent: str, at: datetime, chance: random.Random
) -> None:
    """With a test that reported a thousand losses, and a trajectory of forty steps."""
    task = load_tasks()[TASK]
    session = Session(
        id=session_id,
        task=task,
        agent=agent,
        scale=SCALE,
        metadata={},
        token_sha256=sha256("x"),
        created_at=at,
    )
    store.add_session(connection, session)
    connection.execute(sessions.update().where(sessions.c.id == session_id).values(submitted_test=1, submitted_at=at))
    row = {"session_id": session_id, "n": 1, "status": "succeeded", "files": {task.filename: task.text}}
    row |= {"created_at": at, "started_at": at, "ended_at": at, "cancel_requested": False, "refunded": False}
    connection.execute(insert(tests).values(row | {"observation": "x" * 1500, "devices": []}))
    series = [[12 * n, 2.3 + 8 / n + chance.gauss(0, 0.02), 2.3 + 8 / n] for n in range(1, POINTS + 1)]
    run = {"run_id": f"{session_id}-1-0", "session_id": session_id, "n": 1, "position": 0, "label": "gpt-345m"}
    run |= {"script": "scripts/gpt_345m.sh", "status": "succeeded", "started_at": 1.0, "ended_at": 2.0, "reason": ""}
    run |= {"output": "", "series": series, "metrics": {"val_loss": 2.3}, "note": ""}
    connection.execute(insert(runs).values(run))
    step = {"session_id": session_id, "ok": True, "at": at, "tool": "edit", "undone": 0, "code": None, "test": None}
    for seq in range(1, 41):
        lines = [[f"    # {seq}.{n}" for n in range(10)], ["    pass"], ["    CONFIG_OVERRIDES = {}"]]
        written = {"input": {"start_line": 22, "end_line": 31, "content": "\n".join(lines[0])}}
        written |= {"observation": "x" * 1200, "editables": {task.filename: lines}, "seq": seq}
        connection.execute(insert(steps).values(step | written))
