"""SIGKILL at any moment: what was answered stays, what was under way goes on, nothing happens twice."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Agent, Server
    from tests.env.durability.conftest import Persistent, TaskFolder

Rows = Callable[..., list[dict[str, Any]]]
SHORT_OR_LONG = """\
sleep $((RANDOM % 3 / 2)).$((RANDOM % 9 + 1))
echo "TRAIN_METRICS: step=1, train_loss=3.0, val_loss=3.0"
sleep 0.$((RANDOM % 3 + 1))
echo '{"metrics": {"val_loss": 2.5}}' > "$OUT_DIR/metrics.json"
"""


class Editor:
    """Puts one line after another into the file, each under a key of its own, and again until it is answered."""

    def __init__(self, client: Persistent) -> None:
        self.client = client
        self.observations: list[str] = []

    def work(self, may_go_on: threading.Event, stop: threading.Event) -> None:
        while not stop.is_set():
            may_go_on.wait()
            i = len(self.observations) + 1
            insert = {"op": "insert", "after_line": 2, "content": f"# {i}\n"}
            answer = self.client.post("edit", f"edit-{i}", insert)
            assert answer.status_code == 200, answer.text
            assert answer.json()["revision"] == i
            self.observations.append(answer.json()["observation"])

    def check(self, in_flight: int) -> None:
        """All that was answered is there, in order; and at most the one call nobody has the answer of."""
        answers = list(self.observations)
        told = self.client.get("/trajectory")
        count = len(told["steps"])
        assert len(answers) <= count <= len(answers) + in_flight
        assert [step["step"] for step in told["steps"]] == list(range(1, count + 1))
        assert [step["input"]["content"] for step in told["steps"]] == [f"# {i}\n" for i in range(1, count + 1)]
        assert [step["observation"] for step in told["steps"][: len(answers)]] == answers
        lines = told["files"][0]["text"].splitlines()
        assert lines[2 : 2 + count] == [f"# {i}" for i in range(count, 0, -1)]
        assert len(lines) == 5 + count
        seen = self.client.get()
        assert seen["steps"] == seen["revision"] == seen["files"][0]["total_lines"] - 5


def test_no_answered_edit_is_lost_and_none_is_made_twice(
    serve: Callable[..., Server], tiny: TaskFolder, persistent: Callable[[Server, Agent], Persistent]
) -> None:
    moments = random.Random(1)
    server = serve("--runner", "fake", "--tasks", str(tiny.write().path))
    editors = [Editor(persistent(server, server.open("tiny"))) for _ in range(4)]
    may_go_on, stop = threading.Event(), threading.Event()
    may_go_on.set()
    with ThreadPoolExecutor(len(editors)) as pool:
        working = [pool.submit(editor.work, may_go_on, stop) for editor in editors]
        try:
            for _ in range(15):
                time.sleep(moments.uniform(0.02, 0.35))
                may_go_on.clear()
                server.kill()
                server.start()
                # Calls that were in flight are repeated meanwhile, which the checks have to bear.
                for editor in editors:
                    editor.check(in_flight=1)
                may_go_on.set()
        finally:
            stop.set()
            may_go_on.set()
            for work in working:
                work.result(30)
    for editor in editors:
        editor.check(in_flight=0)
        assert len(editor.observations) >= 15


def test_every_test_succeeds_once_however_often_the_service_is_killed(
    serve_local: Callable[[int], Server],
    tiny: TaskFolder,
    persistent: Callable[[Server, Agent], Persistent],
    rows: Rows,
    nothing_left: Callable[[Server], None],
) -> None:
    moments = random.Random(2)
    tiny.write(tests=3).stage("first", SHORT_OR_LONG).stage("second", SHORT_OR_LONG)
    server = serve_local(2)
    clients = [persistent(server, server.open("tiny")) for _ in range(3)]

    def spend_all(client: Persistent) -> list[dict[str, Any]]:
        results = []
        for n in (1, 2, 3):
            asked = client.post("test", f"test-{n}")
            assert (asked.status_code, asked.json()["test"]["n"]) == (202, n), asked.text
            results.append(client.result(n))
        return results

    with ThreadPoolExecutor(len(clients)) as pool:
        spending = [pool.submit(spend_all, client) for client in clients]
        kills = kill_until_done(server, spending, moments)
        results = [result for done in spending for result in done.result()]
    assert kills >= 8
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
        time.sleep(moments.choice((0.0, 0.2, moments.uniform(0.2, 0.9))))
        server.kill()
        server.start()
        kills += 1
        if kills == 15:
            break
    return kills


def test_runs_that_died_with_the_service_are_repeated_or_refunded(
    serve: Callable[..., Server],
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
    assert Counter(row["session_id"] for row in rows(server, "llm-pretrain-normalization")) == {
        training.agent.id: 1,
        queued.agent.id: 1,
    }


def test_the_very_first_start_can_be_killed_anywhere(
    serve_local: Callable[[int], Server], tiny: TaskFolder, nothing_left: Callable[[Server], None]
) -> None:
    tiny.write().stage("only", SHORT_OR_LONG)
    server = serve_local(1)
    server.kill()
    server.state = server.state.with_name("untouched")
    options = ["--runner", "local", "--tasks", str(tiny.path), "--port", "0", "--state", str(server.state)]
    for moment in (0.2, 0.27, 0.34, 0.41, 0.48, 0.6):
        with subprocess.Popen(
            [sys.executable, "-m", "env.cli.main", "serve", *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            time.sleep(moment)
            process.kill()
    server.start()
    agent = server.open("tiny")
    assert agent.call("test").status_code == 202
    assert agent.result(1)["status"] == "succeeded"
    nothing_left(server)


@pytest.mark.slow
def test_a_real_training_killed_in_the_middle_is_followed_to_its_result(
    serve: Callable[..., Server],
    data: Any,
    persistent: Callable[[Server, Agent], Persistent],
    rows: Rows,
    nothing_left: Callable[[Server], None],
    eventually: Callable[..., None],
) -> None:
    server = serve("--runner", "local", "--slots", "1", "--data", str(data))
    client = persistent(server, server.open())
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
    assert steps == list(range(0, 201, 20))
    assert result["progress"]["series"][: len(before["progress"]["series"])] == before["progress"]["series"]
    (row,) = rows(server, "llm-pretrain-normalization")
    assert row["status"] == "succeeded"
    assert 1.5 < row["val_loss_gpt-smoke"] < 3.5
    assert client.get()["budget"]["tests_remaining"] == 2
    nothing_left(server)
