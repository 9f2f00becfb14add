"""Pages with ten thousand results and five hundred runs with curves behind them: time to the first byte, and sizes."""

from __future__ import annotations

import random
import re
import statistics
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy import Connection

from env.service.access import sha256
from env.store.engine import open_database
from env.store.model import Run, Session, Status, Step, Submission, Test
from env.store.store import Store
from leaderboard import writing
from leaderboard.model import Result
from runner.metrics import TrainMetrics
from tasks.load import load_tasks
from tests.support.service import TASK, Serve

RESULTS, WITH_CURVE, POINTS = 10_000, 500, 1000
REPEATS = 60
SCALE = "gpt-345m"
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


@dataclass(frozen=True, kw_only=True)
class Page:
    """An address, asked for again and again."""

    first_byte_ms: list[float]
    size: int
    """In bytes."""
    static: int
    """The scripts and styles that a page of its kind needs, which the browser keeps: bytes."""

    @property
    def p95_ms(self) -> float:
        return statistics.quantiles(self.first_byte_ms, n=20)[18]


@pytest.mark.timeout(900)
def test_pages_answer_at_once_and_stay_small(tmp_path: Path, serve: Serve) -> None:
    pages = measure_pages(serve, tmp_path, results=RESULTS, with_curve=WITH_CURVE, points=POINTS, repeats=REPEATS)
    assert max(page.p95_ms for page in pages) < 100
    assert max(page.size + page.static for page in pages) < 300_000


def measure_pages(
    serve: Serve, tmp_path: Path, *, results: int, with_curve: int, points: int, repeats: int
) -> list[Page]:
    """Every kind of page, asked for so many times, on a new service with so many results.

    The first `with_curve` sessions, five at least, have a test with a curve of so many points and a trajectory.
    """
    state = tmp_path / "state0"  # where `serve` keeps its first service's state
    state.mkdir()
    engine = open_database(f"sqlite:///{state / 'ringfence.db'}")
    store = Store(engine)
    chance = random.Random(0)
    with engine.begin() as connection:
        for number in range(results):
            add_result(connection, store, number, chance, with_curve, points)
    engine.dispose()
    server = serve("--runner", "fake")
    process = psutil.Process(server.pid)
    task = f"/tasks/{TASK}?scale={SCALE}"
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
        "curve, JSON": f"/v1/results/{_session(0)}-1/curve",
    }
    measured = []
    with server.client() as client:
        static = sum(len(client.get(name).content) for name in _static(client.get(task).text))
        for name, path in pages.items():
            for _ in range(min(5, repeats)):  # to warm up
                _first_byte(client, path)
            before = process.cpu_times()
            taken = [_first_byte(client, path) for _ in range(repeats)]
            after = process.cpu_times()
            cpu_ms = (after.user + after.system - before.user - before.system) * 1000 / repeats
            page = Page(first_byte_ms=taken, size=len(client.get(path).content), static=static)
            print(
                f"{name:<26}p50 {statistics.median(taken):6.1f} ms   p95 {page.p95_ms:6.1f} ms   "
                f"server {cpu_ms:5.1f} ms   {page.size / 1000:6.1f} kB"
            )
            measured.append(page)
    print(f"scripts and styles, kept by the browser: {static / 1000:.1f} kB")
    return measured


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


def add_result(
    connection: Connection, store: Store, number: int, chance: random.Random, with_curve: int, points: int
) -> None:
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
        if number // 2 < with_curve:
            _add_session(connection, store, session_id, agent, finished, chance, points)


def _add_session(
    connection: Connection, store: Store, session_id: str, agent: str, at: datetime, chance: random.Random, points: int
) -> None:
    """With a test that reported so many losses, and a trajectory of forty steps."""
    task = load_tasks()[TASK]
    store.add_session(
        connection,
        Session(
            id=session_id,
            task=task,
            agent=agent,
            scale=SCALE,
            metadata={},
            token_sha256=sha256("x"),
            created_at=at,
        ),
    )
    test = Test(
        session_id=session_id, n=1, status=Status.QUEUED, files={task.filename: task.text}, created_at=at, started_at=at
    )
    store.add_test(connection, test)
    store.set_running(connection, test, "fake")
    losses = ((12 * n, 2.3 + 8 / n) for n in range(1, points + 1))
    run = Run(
        run_id=f"{session_id}-1-0-0",
        position=0,
        label="gpt-345m",
        script="scripts/gpt_345m.sh",
        status=Status.SUCCEEDED,
        started_at=1.0,
        ended_at=2.0,
        series=tuple(TrainMetrics(step, loss + chance.gauss(0, 0.02), loss) for step, loss in losses),
        metrics={"val_loss": 2.3},
    )
    store.add_run(connection, test, run)
    store.finish(connection, replace(test, status=Status.SUCCEEDED, ended_at=at, observation="x" * 1500))
    store.submit(connection, session_id, Submission(test=1, at=at))
    for seq in range(1, 41):
        lines = tuple(f"    # {seq}.{n}" for n in range(10))
        step = Step(
            seq=seq,
            tool="edit",
            input={"start_line": 22, "end_line": 31, "content": "\n".join(lines)},
            ok=True,
            observation="x" * 1200,
            at=at,
            editables={task.filename: (lines, ("    pass",), ("    CONFIG_OVERRIDES = {}",))},
        )
        store.add_step(connection, session_id, step)
