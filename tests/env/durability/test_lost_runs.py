"""A run whose supervisor is killed is our loss, not the agent's: tried again, in the end refunded, never scored."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.env.durability.conftest import TaskFolder
    from tests.support.service import Agent, Server

Rows = Callable[..., list[dict[str, Any]]]
Eventually = Callable[..., None]
# Metrics first: a run that is lost afterwards must not be scored by what it left.
RESULT_THEN_SLEEP = """\
echo '{"metrics": {"val_loss": 2.5}}' > "$OUT_DIR/metrics.json"
sleep 0.7
"""


def kill_supervisor(server: Server, run_id: str) -> None:
    supervisor = server.state / "runs" / run_id / "supervisor"
    os.kill(json.loads(supervisor.read_text())["pid"], signal.SIGKILL)


def test_a_lost_run_is_tried_again_and_counts_once(
    serve_local: Callable[[int], Server],
    tiny: TaskFolder,
    rows: Rows,
    eventually: Eventually,
    nothing_left: Callable[[Server], None],
) -> None:
    tiny.write().stage("first", RESULT_THEN_SLEEP).stage("second", RESULT_THEN_SLEEP)
    server = serve_local(1)
    agent = server.open("tiny")
    assert agent.call("test").status_code == 202
    runs = [f"{agent.id}-1-{position}" for position in (0, 1)]
    for run in runs:
        eventually(lambda run=run: f"{run}-0" in tiny.executions())
        kill_supervisor(server, f"{run}-0")
    result = agent.result(1)
    assert result["status"] == "succeeded"
    assert result["metrics"] == {"val_loss_first": 2.5, "val_loss_second": 2.5}
    assert tiny.executions() == [f"{run}-{attempt}" for run in runs for attempt in (0, 1)]
    assert len(rows(server)) == 1
    nothing_left(server)


def test_a_run_lost_while_the_service_is_down_is_tried_again(
    serve_local: Callable[[int], Server], tiny: TaskFolder, rows: Rows, eventually: Eventually
) -> None:
    tiny.write().stage("only", RESULT_THEN_SLEEP)
    server = serve_local(1)
    agent = server.open("tiny")
    assert agent.call("test").status_code == 202
    run = f"{agent.id}-1-0"
    eventually(lambda: tiny.executions() == [f"{run}-0"])
    server.kill()
    kill_supervisor(server, f"{run}-0")
    server.start()
    eventually(lambda: tiny.executions() == [f"{run}-0", f"{run}-1"])
    # The second attempt is found again too, and is not mistaken for the first.
    server.kill()
    server.start()
    assert agent.result(1)["status"] == "succeeded"
    assert tiny.executions() == [f"{run}-0", f"{run}-1"]
    assert len(rows(server)) == 1


def test_a_run_lost_again_and_again_is_refunded_and_never_scored(
    serve_local: Callable[[int], Server],
    tiny: TaskFolder,
    rows: Rows,
    eventually: Eventually,
    nothing_left: Callable[[Server], None],
) -> None:
    tiny.write(tests=1).stage("only", RESULT_THEN_SLEEP)
    server = serve_local(1)
    agent = server.open("tiny")
    lose_test(server, agent, tiny, eventually, 1)
    result = agent.result(1)
    assert (result["status"], result["refunded"], result["metrics"]) == ("infra_failed", True, {})
    assert "[INFRASTRUCTURE FAILURE lost by the runner: its supervisor broke down: killed]" in result["observation"]
    assert "[NOTE] Test #1 was not counted: the infrastructure failed, not your code." in result["observation"]
    assert rows(server) == []
    assert agent.get().json()["budget"]["tests_remaining"] == 1
    refused = agent.call("submit", {"n": 1})
    assert (refused.status_code, refused.json()["code"]) == (409, "no_results")
    nothing_left(server)
    assert agent.call("test").json()["test"]["n"] == 2
    assert agent.result(2)["status"] == "succeeded"
    assert [row["test"] for row in rows(server)] == [2]
    assert agent.call("submit", {"n": 2}).status_code == 200


def lose_test(server: Server, agent: Agent, tiny: TaskFolder, eventually: Eventually, n: int) -> None:
    assert agent.call("test").status_code == 202
    for attempt in (0, 1):
        run = f"{agent.id}-{n}-0-{attempt}"
        eventually(lambda run=run: run in tiny.executions())
        kill_supervisor(server, run)
