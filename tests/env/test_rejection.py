"""What becomes of a result that the evaluator does not accept, and of what a training says of itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from env.demands import rejection
from env.evaluation import Audit, Evaluation
from env.lifecycle.selfreport import gap_note, start_note
from env.session import Run, Status
from runner.metrics import TrainMetrics

if TYPE_CHECKING:
    from tests.conftest import Agent, Server

BYTES = {"VOCAB_SIZE": "256"}
SHORT = """\
id = "short"
title = "The smoke scale, shorter"
template = "custom_pretrain"
filename = "nanoGPT/custom_pretrain.py"
editable = [[22, 31]]
[scales.smoke.settings]
max_iters = 20
"""
NORM = """\
class LayerNorm(nn.Module):
    def __init__(self, ndim, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(ndim))

    def forward(self, x):
        {before}
        return x * self.weight{leak}
"""


def outcome(agent: Agent, comment: str) -> dict[str, Any]:
    edited = agent.call("edit", {"start_line": 246, "end_line": 246, "content": f"    # {comment}"})
    assert edited.status_code == 200, edited.text
    assert agent.call("test").status_code == 202
    return agent.result(1)


def test_a_rejected_result_is_told_spent_and_without_numbers(shared: Server) -> None:
    agent = shared.open()
    result = outcome(agent, "fake: evaluate.reject")
    assert (result["status"], result["refunded"], result["metrics"]) == ("rejected", False, {})
    assert [(stage["label"], stage["status"]) for stage in result["stages"]] == [("gpt-smoke", "rejected")]
    told = result["observation"]
    assert "\n[REJECTED commitment: off by 0.75 nats, the limit is 0.001, as asked for]\n" in told
    assert "Final metrics" not in told
    assert agent.get().json()["budget"]["tests_remaining"] == 2


def test_a_rejected_result_can_be_submitted_and_ranks_nowhere(serve: Callable[..., Server]) -> None:
    server = serve()
    rejected, honest = server.open(agent="rejected"), server.open(agent="honest")
    outcome(rejected, "fake: evaluate.reject")
    outcome(honest, "plain")
    for agent in (rejected, honest):
        assert agent.call("submit", {"n": 1}).status_code == 200
    with server.client() as client:
        rows = client.get("/v1/leaderboards/llm-pretrain-normalization").json()["rows"]
    assert [(row["agent"], row["status"], row["val_loss_gpt-smoke"] is None) for row in rows] == [
        ("honest", "succeeded", False),
        ("rejected", "rejected", True),
    ]


def test_a_training_that_boasts_is_contradicted(shared: Server) -> None:
    told = outcome(shared.open(), "fake: boast=1.5")["observation"]
    assert "[NOTE] The training's last reported val_loss=" in told
    assert "is 1.5000 below what the evaluator found on held-out data" in told
    assert "[NOTE] The training" not in outcome(shared.open(), "nothing to say")["observation"]


@pytest.mark.slow
@pytest.mark.timeout(300)  # four tests, on two slots
def test_the_real_evaluator_tells_honest_leaking_and_broken_models_apart(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    (tmp_path / "short").mkdir()
    (tmp_path / "short" / "task.toml").write_text(SHORT)
    server = serve("--runner", "local", "--slots", "2", "--tasks", str(tmp_path / "short"))
    edits = {
        "honest": NORM.format(before="pass", leak=""),
        "leaking": NORM.format(before="pass", leak=" - x.mean(dim=1, keepdim=True)"),
        "failing": NORM.format(before="assert 'MEET_DIR' not in os.environ, 'only in training'", leak=""),
        "dying": NORM.format(
            before="os.write(2, b'farewell') and os._exit(3) if 'MEET_DIR' in os.environ else 0", leak=""
        ),
    }
    agents = {name: server.open("short", agent=name) for name in edits}
    for name, agent in agents.items():
        edited = agent.call("edit", {"start_line": 22, "end_line": 31, "content": edits[name]})
        assert edited.status_code == 200, edited.text
        assert agent.call("test").status_code == 202
    results = {name: agent.result(1) for name, agent in agents.items()}
    told = {name: result["observation"] for name, result in results.items()}
    assert {name: result["status"] for name, result in results.items()} == {
        "honest": "succeeded",
        "leaking": "rejected",
        "failing": "failed",
        "dying": "failed",
    }, told
    assert "\n[REJECTED causality: " in told["leaking"]
    assert "\ncommitment: " in told["leaking"]
    assert "Final metrics" not in told["leaking"]
    assert "AssertionError: only in training (custom_pretrain.py, line 28, in forward)" in told["failing"]
    assert "\nERROR: the model's process ended while " in told["dying"]
    assert "\nFrom the processes that ran the model:\nfarewell" in told["dying"], told["dying"]
    records = {}
    with server.client() as client:
        for name, agent in agents.items():
            records[name] = client.get(f"/v1/results/{agent.id}-1").json()["record"]
    assert all(audit["passed"] for audit in records["honest"]["audits"])
    assert {audit["name"] for audit in records["honest"]["audits"]} >= {"parameters", "commitment", "bias", "canary"}
    assert records["honest"]["parameters"]["counted"] <= records["honest"]["parameters"]["cap"]
    assert not all(audit["passed"] for audit in records["leaking"]["audits"])
    assert records["failing"]["audits"] == records["dying"]["audits"] == []


def rejected(reason: str, *failed: str) -> list[str]:
    audits = [
        Audit(name, name not in failed, 0.5, 0.1, "nats", 9) for name in ("normalisation", "drift", "bias", "bias")
    ]
    run = Run("r", "gpt", "gpt.sh", Status.REJECTED, 0, 1, reason, evaluation=Evaluation(audits=tuple(audits)))
    return list(rejection(run))


def test_each_audit_that_failed_has_a_line_and_then_what_it_demands() -> None:
    reason = "drift: it moves; it must stay (a, b); bias: too good (val_loss); bias: too good (lambada_ppl)"
    assert rejected(reason, "drift", "bias") == [
        "[REJECTED drift: it moves; it must stay (a, b)]",
        "bias: too good (val_loss)",
        "bias: too good (lambada_ppl)",
        "What the model claims for the tokens that do come must be what it expects of them without seeing them.",
    ]


def test_a_rejection_names_the_audit_even_when_its_reason_does_not() -> None:
    assert rejected("off by 0.5", "bias")[0] == "[REJECTED bias: off by 0.5]"


def test_a_rejection_without_a_known_audit_is_told_as_it_is() -> None:
    assert rejected("the operator's own audit: 7; drift: 8") == ["[REJECTED the operator's own audit: 7; drift: 8]"]


def points(*losses: tuple[int, float]) -> list[TrainMetrics]:
    return [TrainMetrics(step, 1.0, loss) for step, loss in losses]


@pytest.mark.parametrize(
    ("series", "noted"),
    [
        (points((0, 5.37), (200, 2.7)), False),  # as seen: 0.18 below ln 256 = 5.55
        (points((0, 4.6)), False),
        (points((0, 4.5)), True),
        (points((0, -3.0)), True),
        (points((20, 1.0)), False),  # nothing was said of the beginning
        (points((0, math.nan)), False),
        ([], False),
    ],
)
def test_a_training_that_knows_its_data_beforehand_is_noted(series: list[TrainMetrics], noted: bool) -> None:
    note = start_note(series, BYTES)
    assert bool(note) is noted
    if noted:
        assert "ln(256) = 5.5452" in note


def test_without_a_vocabulary_nothing_is_said_of_the_beginning() -> None:
    assert start_note(points((0, 0.0)), {}) == start_note(points((0, 0.0)), {"VOCAB_SIZE": "many"}) == ""


@pytest.mark.parametrize(
    ("last", "measured", "noted"),
    [
        (2.68, 2.77, False),  # as seen
        (2.66, 2.81, False),  # as seen, with another seed
        (2.2, 2.7, False),
        (2.19, 2.7, True),
        (2.7, 0.1, False),  # modest
        (math.nan, 2.7, False),
        (2.0, math.nan, False),
    ],
)
def test_a_report_far_below_what_was_measured_is_noted(last: float, measured: float, noted: bool) -> None:
    assert bool(gap_note(points((0, 5.5), (200, last)), {"val_loss": measured})) is noted


def test_without_a_report_or_a_loss_there_is_no_gap() -> None:
    assert gap_note([], {"val_loss": 2.7}) == gap_note(points((0, 1.0)), {"piqa": 60.0}) == ""
