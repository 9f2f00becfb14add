"""SIGKILL at any moment of tests: what was under way goes on, and nothing is run or counted twice."""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.processes import started
from tests.support.service import TASK
from tests.support.tasks import write_short_task
from tests.support.waiting import threads

if TYPE_CHECKING:
    from tests.env.durability.conftest import Persistent, TaskFolder
    from tests.support.service import Agent, Serve, Server

Rows = Callable[..., list[dict[str, Any]]]
MUCH_TO_DELETE = """\
(cd "$OUT_DIR" && touch $(seq 8000))
echo '{"metrics": {"val_loss": 2.5}}' > "$OUT_DIR/metrics.json"
"""
SOME_TIME = """\
sleep 0.$((RANDOM % 9 + 1))
echo "TRAIN_METRICS: step=1, train_loss=3.0, val_loss=3.0"
sleep 0.$((RANDOM % 3 + 1))
echo '{"metrics": {"val_loss": 2.5}}' > "$OUT_DIR/metrics.json"
"""


def test_every_test_succeeds_once_however_often_the_service_is_killed(
    serve_local: Callable[[int], Server],
    tiny: TaskFolder,
    persistent: Callable[[Server, Agent], Persistent],
    rows: Rows,
    nothing_left: Callable[[Server], None],
) -> None:
    moments = random.Random(2)
    tiny.write(tests=3).stage("first", SOME_TIME).stage("second", SOME_TIME)
    server = serve_local(2)
    clients = [persistent(server, server.open("tiny")) for _ in range(3)]

    def spend_all(client: Persistent) -> list[dict[str, Any]]:
        results = []
        for n in (1, 2, 3):
            asked = client.post("test", f"test-{n}")
            assert (asked.status_code, asked.json()["test"]["n"]) == (202, n), asked.text
            results.append(client.result(n))
        return results

    with threads(len(clients)) as pool:
        spending = [pool.submit(spend_all, client) for client in clients]
        kills = kill_until_done(server, spending, moments)
        results = [result for done in spending for result in done.result()]
    assert kills >= 5
    assert [result["status"] for result in results] == ["succeeded"] * 9
    for result in results:
        assert result["metrics"] == {"val_loss_first": 2.5, "val_loss_second": 2.5}
        assert f"[Test #{result['n']}]" in result["observation"]
        assert not result["refunded"]
    assert Counter((row["session_id"], row["test"]) for row in rows(server)) == {
        (client.agent.id, n): 1 for client in clients for n in (1, 2, 3)
    }
    for client in clients:
        assert client.get()["budget"]["tests_remaining"] == 0
        assert [step["test"] for step in client.get("/trajectory")["steps"]] == [1, 2, 3]
    assert Counter(tiny.executions()) == {
        f"{client.agent.id}-{n}-{position}-0": 1 for client in clients for n in (1, 2, 3) for position in (0, 1)
    }
    nothing_left(server)
    assert all(client.get()["tests"][2]["status"] == "succeeded" for client in clients)


def kill_until_done(server: Server, work: list[Future[Any]], moments: random.Random) -> int:
    """Kills and restarts at random moments; returns how often."""
    kills = 0
    while not all(one.done() for one in work):
        time.sleep(moments.choice((0.0, 0.2, moments.uniform(0.2, 0.6))))
        server.kill()
        server.start()
        kills += 1
        if kills == 10:
            break
    return kills


def test_runs_that_died_with_the_service_are_repeated_or_refunded(
    serve: Serve,
    persistent: Callable[[Server, Agent], Persistent],
    rows: Rows,
    eventually: Callable[..., None],
) -> None:
    server = serve("--runner", "fake", "--slots", "2")  # which forgets every run
    training, evaluated, queued = (persistent(server, server.open()) for _ in range(3))
    for client, wishes in ((training, "seconds=2"), (evaluated, "seconds=0\n    # fake: evaluate.seconds=2")):
        wish = {"op": "insert", "after_line": 22, "content": f"    # fake: {wishes}\n"}
        assert client.post("edit", "edit", wish).status_code == 200
    for client in (training, evaluated, queued):
        assert client.post("test", "test").status_code == 202
    eventually(lambda: evaluated.get("/tests/1")["progress"]["evaluating"])
    eventually(lambda: training.get("/tests/1")["progress"]["series"])
    assert queued.get("/tests/1")["status"] == "queued"
    server.kill()
    server.start()
    assert [client.result(1)["status"] for client in (training, queued)] == ["succeeded"] * 2
    lost = evaluated.result(1)
    assert (lost["status"], lost["refunded"]) == ("infra_failed", True)
    assert "of which there is no trace]" in lost["observation"]
    assert [client.get()["budget"]["tests_remaining"] for client in (training, queued, evaluated)] == [2, 2, 3]
    assert Counter(row["session_id"] for row in rows(server, TASK)) == {
        training.agent.id: 1,
        queued.agent.id: 1,
    }


def test_run_folders_left_by_a_kill_after_the_result_are_removed_by_the_next_start(
    serve_local: Callable[[int], Server], tiny: TaskFolder, rows: Rows, nothing_left: Callable[[Server], None]
) -> None:
    tiny.write()
    for label in ("first", "second", "third"):
        tiny.stage(label, MUCH_TO_DELETE)
    server = serve_local(1)
    agent = server.open("tiny")
    assert agent.call("test").status_code == 202
    assert agent.result(1)["status"] == "succeeded"
    server.kill()
    assert [path.name for path in (server.state / "runs").iterdir() if path.name.startswith(agent.id)] != []
    server.start()
    nothing_left(server)
    assert agent.get("/tests/1").json()["status"] == "succeeded"
    assert len(rows(server)) == 1
    assert len(tiny.executions()) == 3


def test_the_very_first_start_can_be_killed_anywhere(
    serve: Serve, tiny: TaskFolder, nothing_left: Callable[[Server], None]
) -> None:
    tiny.write().stage("only", SOME_TIME)
    options = ("--runner", "local", "--slots", "1", "--tasks", str(tiny.path))
    begin = time.monotonic()
    server = serve(*options)
    took = time.monotonic() - begin
    server.kill()
    server.state = server.state.with_name("untouched")
    command = [sys.executable, "-m", "env.cli", "serve", *options, "--port", "0", "--state", str(server.state)]
    for share in (0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
        with started(command) as process:
            time.sleep(took * share)
            assert process.poll() is None
    server.start()
    agent = server.open("tiny")
    assert agent.call("test").status_code == 202
    assert agent.result(1)["status"] == "succeeded"
    nothing_left(server)


@pytest.mark.slow
def test_a_real_training_killed_in_the_middle_is_followed_to_its_result(
    serve: Serve,
    tmp_path: Path,
    persistent: Callable[[Server, Agent], Persistent],
    rows: Rows,
    nothing_left: Callable[[Server], None],
    eventually: Callable[..., None],
) -> None:
    task = write_short_task(tmp_path / "short")
    server = serve("--runner", "local", "--slots", "1", "--tasks", str(task))
    client = persistent(server, server.open("short"))
    assert client.post("test", "test").status_code == 202
    eventually(lambda: len(client.get("/tests/1")["progress"]["series"]) >= 3, 60)
    before = client.get("/tests/1")
    assert (before["status"], before["progress"]["stage"]) == ("running", "gpt-smoke")
    server.kill()
    server.start()
    result = client.result(1)
    assert result["status"] == "succeeded", result["observation"]
    assert [stage["label"] for stage in result["stages"]] == ["gpt-smoke", "lm-eval-smoke"]
    steps = [point["step"] for point in result["progress"]["series"]]
    assert steps == list(range(0, 101, 10))
    assert result["progress"]["series"][: len(before["progress"]["series"])] == before["progress"]["series"]
    (row,) = rows(server, "short")
    assert row["status"] == "succeeded"
    assert 1.5 < row["val_loss_gpt-smoke"] < 3.5
    assert client.get()["budget"]["tests_remaining"] == 2
    nothing_left(server)
