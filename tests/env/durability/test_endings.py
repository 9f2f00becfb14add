"""Every way a test can end: status, budget, row and text."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.env.durability.conftest import TaskFolder
    from tests.support.service import Agent, Serve, Server

Rows = Callable[..., list[dict[str, Any]]]
Case = tuple[str, bool, str]  # status, refunded, and what the agent is told
INVENTED: dict[str, Case] = {
    "exit=3": ("failed", False, "[COMMAND FAILED exit=3]"),
    "signal=11": ("failed", False, "[COMMAND FAILED killed by signal 11 (SIGSEGV)]"),
    "oom": ("failed", False, "[COMMAND FAILED exceeded the memory limit of 4096 MiB]"),
    "cuda-oom": ("failed", False, "torch.OutOfMemoryError: CUDA out of memory."),
    "hang": ("timed_out", False, "[TIMED OUT exceeded the time limit of 1 s]"),
    "nan": ("diverged", False, "[DIVERGED loss is not finite at step "),
    "evaluate.exit=3": ("failed", False, "[COMMAND FAILED the model raised an error on evaluation data"),
    "evaluate.no-result": ("failed", False, "[COMMAND FAILED the evaluation wrote no valid metrics.json]"),
    "evaluate.reject": ("rejected", False, "[REJECTED commitment: off by 0.75 nats, the limit is 0.001, as asked for]"),
    "lost": ("infra_failed", True, "[INFRASTRUCTURE FAILURE lost by the runner: as asked for]"),
    "evaluate.lost": ("infra_failed", True, "[INFRASTRUCTURE FAILURE lost by the runner: as asked for]"),
}
REAL: dict[str, Case] = {
    "python -c 'raise ValueError(17)'": ("failed", False, "ValueError: 17"),
    "kill -SEGV $$": ("failed", False, "[COMMAND FAILED killed by signal 11 (SIGSEGV)]"),
    "sleep 60 & sleep 60": ("timed_out", False, "[TIMED OUT exceeded the time limit of 5 s]"),
    "echo TRAIN_METRICS: step=7, train_loss=nan, val_loss=2.0; sleep 60": (
        "diverged",
        False,
        "[DIVERGED loss is not finite at step 7; training was stopped early]",
    ),
}
AS_NOTED = """eval "$(sed -n 's/^# do: //p' "$SCRIPT")"\n"""
UNUSED = "exit 1\n"


def note(agent: Agent, text: str) -> None:
    assert agent.call("edit", {"op": "insert", "after_line": 2, "content": f"# {text}\n"}).status_code == 200


def check_endings(server: Server, kind: str, cases: dict[str, Case], rows: Rows) -> None:
    """Runs a test for each case, all at once, and looks at what came of it: state, budget, text, row."""
    agents = {wish: server.open("tiny") for wish in cases}
    for wish, agent in agents.items():
        note(agent, f"{kind}: {wish}")
        assert agent.call("test").status_code == 202
    results = {wish: agent.result(1) for wish, agent in agents.items()}
    found = rows(server)
    for wish, (status, refunded, said) in cases.items():
        agent, result, told = agents[wish], results[wish], results[wish]["observation"]
        left = 3 if refunded else 2
        assert (result["status"], result["refunded"], result["metrics"]) == (status, refunded, {}), wish
        assert agent.get().json()["budget"]["tests_remaining"] == left, wish
        assert told.startswith(f"[Test #1] ({left} tests remaining; call submit(n=N)"), wish
        assert "\n### gpt (gpt.sh)\n" in told, wish
        assert said in told, wish
        assert "### later" not in told, wish  # stages after one that did not succeed are not run
        assert ("[Leaderboard] Results saved: {'elapsed_gpt': " in told) == (not refunded), wish
        row = [(row["status"], row.get("val_loss_gpt")) for row in found if row["session_id"] == agent.id]
        assert row == ([] if refunded else [(status, None)]), wish
        assert agent.call("submit", {"n": 1}).status_code == (409 if refunded else 200), wish


def test_invented_endings_are_told_and_counted(serve: Serve, tiny: TaskFolder, rows: Rows) -> None:
    tiny.write().stage("gpt", UNUSED, "train", timeout_s=1).stage("later", UNUSED)
    server = serve("--runner", "fake", "--slots", str(len(INVENTED)), "--tasks", str(tiny.path))
    check_endings(server, "fake", INVENTED, rows)


def test_endings_of_real_processes_are_told_and_counted(
    serve_local: Callable[[int], Server], tiny: TaskFolder, rows: Rows, nothing_left: Callable[[Server], None]
) -> None:
    tiny.write().stage("gpt", AS_NOTED, "train", timeout_s=5).stage("later", UNUSED)
    server = serve_local(len(REAL))
    check_endings(server, "do", REAL, rows)
    nothing_left(server)


def test_a_running_test_that_is_cancelled_is_spent_and_its_processes_are_gone(
    serve_local: Callable[[int], Server],
    tiny: TaskFolder,
    rows: Rows,
    eventually: Callable[..., None],
    nothing_left: Callable[[Server], None],
) -> None:
    tiny.write().stage("gpt", "sleep 60 & setsid sleep 60 &\nwait\n", "train")
    server = serve_local(1)
    agent = server.open("tiny")
    assert agent.call("test").status_code == 202
    eventually(tiny.executions)
    cancelled = agent.post("/tests/1/cancel").json()
    assert (cancelled["status"], cancelled["refunded"]) == ("cancelled", False)
    assert "### gpt (gpt.sh)\n[CANCELLED]" in cancelled["observation"]
    nothing_left(server)
    assert [(row["test"], row["status"]) for row in rows(server)] == [(1, "cancelled")]
    assert agent.get().json()["budget"]["tests_remaining"] == 2
    again = agent.post("/tests/1/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "test_over")


def test_a_queued_test_that_is_cancelled_is_refunded(serve: Serve, tiny: TaskFolder, rows: Rows) -> None:
    tiny.write(tests=1).stage("gpt", UNUSED, "train")
    server = serve("--runner", "fake", "--slots", "1", "--tasks", str(tiny.path))
    first, second = server.open("tiny"), server.open("tiny")
    note(first, "fake: hang")
    for agent in (first, second):
        assert agent.call("test").status_code == 202
    cancelled = second.post("/tests/1/cancel").json()
    assert (cancelled["status"], cancelled["refunded"], cancelled["stages"]) == ("cancelled", True, [])
    assert "[NOTE] Test #1 was not counted: it was cancelled before it started." in cancelled["observation"]
    assert second.get().json()["budget"]["tests_remaining"] == 1
    assert rows(server) == []
    assert second.post("/tests/1/cancel").status_code == 409
    assert second.post("/tests/2/cancel").status_code == 404
    assert second.call("test").json()["test"]["n"] == 2
    server.kill()
    server.start()
    assert second.get("/tests/1").json()["status"] == "cancelled"
    assert first.post("/tests/1/cancel").json()["status"] == "cancelled"
    assert second.result(2)["status"] == "succeeded"
